//! The answers to statements that were asked for together.

use crate::Fault;

/// Several answers, in the order in which they were asked for.
pub trait Answers {
    /// What they answer.
    type All;

    /// All of them, or the first failure: after it the transaction is over, and other failures say only that.
    ///
    /// # Errors
    /// That failure.
    fn all(self) -> Result<Self::All, Fault>;
}

macro_rules! answers {
    ($($name:ident),+) => {
        impl<$($name),+> Answers for ($(Result<$name, Fault>,)+) {
            type All = ($($name,)+);

            #[allow(non_snake_case, reason = "each answer is named like its type")]
            fn all(self) -> Result<Self::All, Fault> {
                let ($($name,)+) = self;
                Ok(($($name?,)+))
            }
        }
    };
}

answers!(A, B);
answers!(A, B, C);
answers!(A, B, C, D);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told() {
        let failed = (Ok::<_, Fault>(1), Err::<(), _>(Fault::Again), Err::<(), _>(Fault::Silent)).all();
        assert!(matches!(failed, Err(Fault::Again)));
        assert!(matches!((Ok::<_, Fault>(1), Ok::<_, Fault>("two")).all(), Ok((1, "two"))));
    }
}
