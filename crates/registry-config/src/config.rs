use std::path::PathBuf;

use registry_types::{ImmutableTags, ManifestClass, Pattern, Quota};

use crate::absent;
use crate::auth::Auth;
use crate::environment;
use crate::field::{Field, Notes};
use crate::gc::Gc;
use crate::health::Health;
use crate::http::Http;
use crate::journal::Journal;
use crate::log::Log;
use crate::metadata::Metadata;
use crate::middleware::{self, StorageMiddleware};
use crate::mirror::Mirrors;
use crate::node::Node;
use crate::outbound::Outbound;
use crate::problem::Problems;
use crate::quota::quotas;
use crate::retention::Retention;
use crate::safety::{self, Safety};
use crate::secrets::Secrets;
use crate::storage::Storage;
use crate::unknown;
use crate::validation::Validation;
use crate::warning::Warning;
use crate::webhooks::{Notifications, Webhook, receivers};

/// Everything that can be configured, checked and with its defaults filled in. Paths are as they were written; nothing was
/// opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Config {
    pub log: Log,
    pub storage: Storage,
    pub metadata: Metadata,
    pub journal: Journal,
    pub gc: Gc,
    pub retention: Retention,
    pub auth: Auth,
    pub http: Http,
    pub health: Health,
    pub validation: Validation,
    /// What changes where clients are sent for the bytes of blobs, in this order. Key `middleware.storage`.
    pub storage_middleware: Vec<StorageMiddleware>,
    /// Of what kinds images may be; of every kind, if there are none here. Key `policy.repository.classes`.
    pub classes: Vec<ManifestClass>,
    /// The most repositories on a page of the catalog; 1000 by default. Key `catalog.maxentries`.
    pub catalog_entries_max: usize,
    /// The most tags on a page; 1000 by default. Key `tags.maxtags`.
    pub tags_entries_max: usize,
    /// Tags that are never moved or deleted once they are set. Key `tags.immutable`.
    pub immutable_tags: Vec<ImmutableTags>,
    /// What groups of repositories may hold. Key `quotas`.
    pub quotas: Vec<Quota>,
    /// What is done about what is open to others. Key `safety`.
    pub safety: Safety,
    pub outbound: Outbound,
    pub secrets: Secrets,
    /// Receivers of events. Key `webhooks`.
    pub webhooks: Vec<Webhook>,
    pub notifications: Notifications,
    /// Other registries that are mirrored.
    pub mirrors: Option<Mirrors>,
}

/// A configuration, and what the operator should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the operator should know about it.
    pub warnings: Vec<Warning>,
}

/// Where a configuration comes from.
pub(crate) struct Source {
    pub(crate) tree: Node,
    /// The folder for data if nothing names one.
    pub(crate) default_root: Option<PathBuf>,
}

const PAGE_ENTRIES_DEFAULT: u64 = 1000;
const PAGE_ENTRIES_MAX: u64 = 1_000_000;

impl Config {
    /// Lays the environment over the tree and reads the result.
    pub(crate) fn read(source: Source, variables: Vec<(String, String)>) -> Result<Loaded, Problems> {
        let Source { mut tree, default_root } = source;
        let (mut warnings, mut problems) = (Vec::new(), Vec::new());
        environment::apply(&mut tree, variables, &mut warnings, &mut problems);
        unknown::report(&tree, &mut warnings);
        let notes = Notes::default();
        let root = Field::root(&tree, &notes);
        check_version(&root.get("version"));
        absent::refuse(&root);
        let config = Config::sections(&root, default_root);
        safety::check(&config, &root);
        warn_of_held_uploads(&config, &root);
        let (wrong, remarks) = notes.into_parts();
        problems.extend(wrong);
        warnings.extend(remarks);
        if problems.is_empty() {
            Ok(Loaded { config, warnings })
        } else {
            Err(Problems::new(problems).with_warnings(warnings))
        }
    }

    fn sections(root: &Field<'_>, default_root: Option<PathBuf>) -> Config {
        let log = Log::read(root);
        let storage = Storage::read(&root.get("storage"), default_root);
        let metadata = Metadata::read(&root.get("metadata"), &storage);
        let journal = Journal::read(&root.get("metadata"), &storage);
        let http = Http::read(&root.get("http"), storage.driver.folder());
        let (webhooks, notifications) = receivers(root);
        Config {
            log,
            metadata,
            journal,
            storage,
            gc: Gc::read(&root.get("gc")),
            retention: Retention::read(&root.get("retention")),
            auth: Auth::read(&root.get("auth"), http.insecure),
            health: Health::read(&root.get("health")),
            validation: Validation::read(&root.get("validation")),
            storage_middleware: middleware::storage(&root.get("middleware").get("storage")),
            classes: classes(&root.get("policy").get("repository").get("classes")),
            catalog_entries_max: catalog_entries(&root.get("catalog").get("maxentries")),
            tags_entries_max: page_entries(&root.get("tags").get("maxtags")),
            immutable_tags: root.get("tags").get("immutable").items().iter().map(immutable_tags).collect(),
            quotas: quotas(&root.get("quotas")),
            safety: Safety::read(&root.get("safety")),
            outbound: Outbound::read(&root.get("outbound")),
            secrets: Secrets::read(&root.get("secrets")),
            webhooks,
            notifications,
            mirrors: Mirrors::read(root),
            http,
        }
    }
}

fn classes(field: &Field<'_>) -> Vec<ManifestClass> {
    let class =
        |item: &Field<'_>| item.choice(&[("image", ManifestClass::Image), ("plugin", ManifestClass::Plugin)]);
    field.items().iter().filter_map(class).collect()
}

/// Where nothing ends abandoned uploads, a quota counts them for ever.
fn warn_of_held_uploads(config: &Config, root: &Field<'_>) {
    let purging = &config.storage.upload_purging;
    let is_purged = purging.enabled && !purging.dry_run;
    if config.quotas.is_empty() || is_purged {
        return;
    }
    let place = root.get("storage").get("maintenance").get("uploadpurging");
    let key = place.get(if purging.enabled { "dryrun" } else { "enabled" });
    key.remark(
        "so abandoned uploads are never given up, and quotas hold them for ever: in the end uploads are refused; otherwise \
         they go after a day where there is a quota",
    );
}

/// Key `tags.immutable[]`. A key that is absent means all.
fn immutable_tags(rule: &Field<'_>) -> ImmutableTags {
    ImmutableTags { repositories: patterns(&rule.get("repositories")), tags: patterns(&rule.get("tags")) }
}

/// Patterns of names; everything, if there is none.
pub(crate) fn patterns(field: &Field<'_>) -> Vec<Pattern> {
    let expected = "a pattern such as v* or team/**, or re: and a regular expression";
    if !field.is_set() {
        return "**".parse().into_iter().collect();
    }
    field.items().iter().filter_map(|item| item.parse(expected, |text| text.parse().ok())).collect()
}

/// There is one version, so a file need not say it.
fn check_version(version: &Field<'_>) {
    version.parse("0.1", |text| (text == "0.1").then_some(()));
}

fn page_entries(field: &Field<'_>) -> usize {
    let entries = match field.integer(PAGE_ENTRIES_DEFAULT, 0..=PAGE_ENTRIES_MAX) {
        0 => PAGE_ENTRIES_DEFAULT,
        entries => entries,
    };
    usize::try_from(entries).unwrap_or(usize::MAX)
}

/// As for tags, but the Go registry also takes negative numbers for the default here.
fn catalog_entries(field: &Field<'_>) -> usize {
    let is_negative = field.scalar().is_some_and(|text| text.parse::<i64>().is_ok_and(|number| number < 0));
    if is_negative { page_entries(&field.absent()) } else { page_entries(field) }
}
