//! One step after another, in one transaction.

#[cfg(feature = "postgres")]
use std::pin::Pin;

use crate::AnyStep;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::Fault;

/// A step, and then another crate's step, which is given what the first one answers; not if the first one answers nothing.
///
/// A [`Step`](crate::Step) is generic over the engine and can not call an [`AnyStep`]; this can.
pub struct Followed<T, Answer> {
    /// What is done first.
    pub first: T,
    /// What is done then, if anything is.
    pub next: Option<Box<dyn AnyStep<Of = Answer, Output = ()>>>,
}

impl<T, Answer> AnyStep for Followed<T, Answer>
where
    T: AnyStep<Output = Option<Answer>>,
    Answer: Send + Sync + 'static,
{
    type Of = T::Of;
    type Output = Option<Answer>;

    #[cfg(feature = "sqlite")]
    fn on_sqlite(&self, session: &crate::sqlite::Session<'_>, of: &Self::Of) -> Result<Self::Output, Fault> {
        let Some(answer) = self.first.on_sqlite(session, of)? else { return Ok(None) };
        if let Some(next) = &self.next {
            next.on_sqlite(session, &answer)?;
        }
        Ok(Some(answer))
    }

    #[cfg(feature = "postgres")]
    fn on_postgres<'a>(
        &'a self,
        session: &'a crate::postgres::Connection,
        of: &'a Self::Of,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Output, Fault>> + Send + 'a>> {
        Box::pin(async move {
            let Some(answer) = self.first.on_postgres(session, of).await? else { return Ok(None) };
            if let Some(next) = &self.next {
                next.on_postgres(session, &answer).await?;
            }
            Ok(Some(answer))
        })
    }
}
