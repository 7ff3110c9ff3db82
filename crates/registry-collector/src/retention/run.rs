use std::{fmt, sync::Arc};

use registry_metadata::{Image, ImagePosition, MetadataError, MetadataStore};
use registry_types::{
    Cause, Pattern, RepositoryName, Viewer,
    retention::{Policy, fingerprint},
};
use serde::Serialize;

use super::{
    Verdict,
    evaluate::{Rules, Times},
};
use crate::Pace;

/// Whom histories name for what retention deletes.
pub const ACTOR: &str = "retention";

/// How many rows of a repository, and how many names of repositories, are in memory at once.
const PAGE: usize = 500;

/// So many failures are told in the log, one by one; beyond that they are counted.
const LOGGED_MAX: u64 = 20;

/// Decides by policies which images go, and deletes them if asked to. Any number of them may work on one registry at once:
/// each deletion looks once more.
#[derive(Debug)]
pub struct Retention {
    metadata: Arc<dyn MetadataStore>,
    policies: Vec<Policy>,
    deletes: Pace,
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stays.
    Kept,
    /// It would go.
    WouldGo,
    /// It was deleted.
    Deleted,
    /// It changed since it was looked at, and stays.
    Changed,
    /// Its deletion failed.
    Failed,
}

/// An image and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Where it is.
    pub repository: &'a RepositoryName,
    /// The image.
    pub image: &'a Image,
    /// What the rules say.
    pub verdict: &'a Verdict,
    /// What became of it.
    pub outcome: Outcome,
}

/// How many images there were, and what became of them: as text by [`Display`](fmt::Display).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Repositories that a policy is about.
    pub repositories: u64,
    /// Images that stay.
    pub kept: u64,
    /// Images that go, or would.
    pub expired: u64,
    /// Images that would have gone, but changed since they were looked at.
    pub changed: u64,
    /// Deletions that failed, and repositories that could not be looked at to the end.
    pub failed: u64,
}

impl Retention {
    /// Applies these policies, with at most so many deletions a second; zero is as many as it can.
    pub fn new(
        metadata: Arc<dyn MetadataStore>,
        policies: Vec<Policy>,
        deletes_per_second: u32,
    ) -> Retention {
        Retention { metadata, policies, deletes: Pace::per_second(deletes_per_second) }
    }

    /// What stands for these policies, and no others.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.policies)
    }

    /// Tells what would become of each image of the repositories that `only` means, and does nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn preview(
        &self,
        only: Option<&Pattern>,
        see: &mut (dyn FnMut(Judged<'_>) + Send),
    ) -> Result<RetentionReport, MetadataError> {
        self.run(only, true, see).await
    }

    /// Deletes what the policies let go, and tells what became of each image.
    ///
    /// Dropping the future stops between two deletions, or lets one that runs be finished.
    ///
    /// # Errors
    /// If the database is not available. A deletion that fails, or a repository that can not be looked at, is counted, and does
    /// not keep others from their turn.
    pub async fn apply(
        &self,
        only: Option<&Pattern>,
        see: &mut (dyn FnMut(Judged<'_>) + Send),
    ) -> Result<RetentionReport, MetadataError> {
        self.run(only, false, see).await
    }

    async fn run(
        &self,
        only: Option<&Pattern>,
        is_preview: bool,
        see: &mut (dyn FnMut(Judged<'_>) + Send),
    ) -> Result<RetentionReport, MetadataError> {
        let mut report = RetentionReport::default();
        let mut after: Option<RepositoryName> = None;
        loop {
            let names = after.as_ref().map(RepositoryName::as_str);
            let page = self.metadata.repositories(&Viewer::everything(), names, PAGE).await?;
            for repository in &page {
                if only.is_none_or(|only| only.matches(repository.as_str())) {
                    let applied = self.repository(repository, is_preview, &mut report, see).await;
                    // One that can not be looked at must not keep the others from it.
                    if let Err(error) = applied {
                        report.fail(error, format_args!("could not look at the images of {repository}"))?;
                    }
                }
            }
            match page.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(report),
            }
        }
    }

    async fn repository(
        &self,
        repository: &RepositoryName,
        is_preview: bool,
        report: &mut RetentionReport,
        see: &mut (dyn FnMut(Judged<'_>) + Send),
    ) -> Result<(), MetadataError> {
        let mut rules = Rules::about(repository, &self.policies);
        if rules.is_empty() {
            return Ok(());
        }
        report.repositories += 1;
        if rules.must_count() {
            self.count(repository, &mut rules).await?;
        }
        let mut after: Option<ImagePosition> = None;
        loop {
            let page = self.metadata.images(repository, after.as_ref(), PAGE).await?;
            let times = Times { now_ms: page.now_ms, pulls_since_ms: page.pulls_since_ms };
            for image in &page.images {
                let verdict = rules.judge(image, times);
                let outcome = match (&verdict, is_preview) {
                    (Verdict::Kept(_), _) => Outcome::Kept,
                    (Verdict::Expired { .. }, true) => Outcome::WouldGo,
                    (Verdict::Expired { .. }, false) => self.delete(repository, image, report).await?,
                };
                report.note(outcome);
                see(Judged { repository, image, verdict: &verdict, outcome });
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn count(&self, repository: &RepositoryName, rules: &mut Rules<'_>) -> Result<(), MetadataError> {
        let mut after: Option<ImagePosition> = None;
        loop {
            let page = self.metadata.images(repository, after.as_ref(), PAGE).await?;
            page.images.iter().for_each(|image| rules.count(image));
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete(
        &self,
        repository: &RepositoryName,
        image: &Image,
        report: &mut RetentionReport,
    ) -> Result<Outcome, MetadataError> {
        self.deletes.wait(1).await;
        match self.metadata.expire_image(repository, image, &Cause::by(ACTOR)).await {
            Ok(true) => Ok(Outcome::Deleted),
            Ok(false) => Ok(Outcome::Changed),
            Err(error) => {
                report.fail(error, format_args!("could not expire {repository}@{}", image.digest))?;
                Ok(Outcome::Failed)
            }
        }
    }
}

impl RetentionReport {
    fn note(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Kept => &mut self.kept,
            Outcome::WouldGo | Outcome::Deleted => &mut self.expired,
            Outcome::Changed => &mut self.changed,
            // Counted when it failed.
            Outcome::Failed => return,
        };
        *count += 1;
    }

    /// Counts a failure, or gives it back if everything else would fail likewise.
    fn fail(&mut self, error: MetadataError, what: fmt::Arguments<'_>) -> Result<(), MetadataError> {
        if error.is_outage() {
            return Err(error);
        }
        self.failed += 1;
        if self.failed <= LOGGED_MAX {
            tracing::error!(error = &error as &dyn std::error::Error, "{what}");
        }
        Ok(())
    }
}

impl fmt::Display for RetentionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RetentionReport { repositories, kept, expired, changed, failed } = self;
        write!(f, "{repositories} repositories: {expired} images expired, {kept} kept")?;
        if *changed > 0 {
            write!(f, ", {changed} changed meanwhile and kept")?;
        }
        if *failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        Ok(())
    }
}
