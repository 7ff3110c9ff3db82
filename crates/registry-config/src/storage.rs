use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_types::{Durability, RedirectPolicy};

use crate::cloud::{Azure, Gcs, S3};
use crate::field::{Field, quoted};
use crate::nearest::nearest;

/// Where bytes are kept, and what may be done with them. Key `storage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Where bytes are kept.
    pub driver: Driver,
    /// Whether tags, manifests and blobs may be deleted. Key `delete.enabled`.
    pub delete_enabled: bool,
    /// Which clients are sent to the store for the bytes of blobs. Key `redirect`.
    pub redirect: Redirect,
    /// Whether everything that would change something is refused. Key `maintenance.readonly.enabled`.
    pub read_only: bool,
    /// What becomes of uploads that nobody finishes. Key `maintenance.uploadpurging`.
    pub upload_purging: UploadPurging,
    /// Whether a start takes over the data of a Go registry that is there. Key `import`.
    pub import: bool,
}

/// Where bytes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    /// In files.
    Filesystem {
        /// The folder, as it was written; possibly relative to the working folder. Key `filesystem.rootdirectory`.
        root: PathBuf,
        /// Key `filesystem.durability`.
        durability: Durability,
        /// How much of the file system uploads leave free, in bytes; a part of it, if the key is absent. Key
        /// `filesystem.reserve`.
        reserve: Option<u64>,
    },
    /// In memory, lost at the end of the process.
    InMemory,
    /// In S3 or what speaks its language.
    S3(Box<S3>),
    /// In Google Cloud Storage.
    Gcs(Box<Gcs>),
    /// In Azure Blob Storage.
    Azure(Box<Azure>),
}

/// Which clients are sent to the store for the bytes of blobs, if the store can sign URLs. Key `redirect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Which are. Keys `disable`, `only`, `except`.
    pub policy: RedirectPolicy,
    /// How long a signed URL can be used; 20 minutes by default. Key `lifetime`.
    pub lifetime: Duration,
}

impl Driver {
    /// The folder for data, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Driver::Filesystem { root, .. } => Some(root),
            Driver::InMemory => None,
            Driver::S3(s3) => Some(&s3.common.folder),
            Driver::Gcs(gcs) => Some(&gcs.common.folder),
            Driver::Azure(azure) => Some(&azure.common.folder),
        }
    }
}

/// What becomes of uploads that nobody finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadPurging {
    /// Whether they are removed at all.
    pub enabled: bool,
    /// How long one must be untouched; 168 hours by default.
    pub age: Duration,
    /// How often they are looked for; 24 hours by default.
    pub interval: Duration,
    /// Whether they are only reported.
    pub dry_run: bool,
}

/// Drivers of the Go registry that are not here.
const OTHER_DRIVERS: [&str; 2] = ["swift", "oss"];

/// Those that are.
const DRIVERS: [&str; 6] = ["filesystem", "inmemory", "s3", "s3aws", "gcs", "azure"];

/// What stands beside the driver in `storage`.
const NO_DRIVERS: [&str; 6] = ["maintenance", "cache", "delete", "redirect", "tag", "import"];

const STORES: &str = "filesystem, inmemory, s3, gcs or azure";

impl Storage {
    /// `default_root` is where files go if nothing says so.
    pub(crate) fn read(storage: &Field<'_>, default_root: Option<PathBuf>) -> Storage {
        let driver = driver(storage, default_root);
        // `storage: inmemory` has no sections to look into.
        let section = |name| match storage.scalar() {
            Some(_) => storage.absent(),
            None => storage.get(name),
        };
        let maintenance = section("maintenance");
        Storage {
            driver,
            delete_enabled: section("delete").get("enabled").flag(false),
            redirect: redirect(&section("redirect")),
            read_only: maintenance.get("readonly").get("enabled").flag(false),
            upload_purging: purging(&maintenance.get("uploadpurging")),
            import: section("import").flag(false),
        }
    }
}

fn driver(storage: &Field<'_>, default_root: Option<PathBuf>) -> Driver {
    let named: Vec<(&str, Field<'_>)> = match storage.scalar() {
        Some(name) => vec![(name, storage.clone())],
        None => storage.entries().into_iter().filter(|(name, _)| !NO_DRIVERS.contains(name)).collect(),
    };
    let (known, others): (Vec<_>, Vec<_>) = named.iter().partition(|(name, _)| DRIVERS.contains(name));
    others.iter().for_each(|(name, field)| refuse(name, field));
    if known.len() > 1 {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        storage.problem(format!("has several drivers, {}", names.join(" and ")), "one");
    }
    match known.first() {
        Some(("inmemory", _)) => Driver::InMemory,
        Some(("s3" | "s3aws", field)) => Driver::S3(Box::new(S3::read(field, default_root))),
        Some(("gcs", field)) => Driver::Gcs(Box::new(Gcs::read(field, default_root))),
        Some(("azure", field)) => Driver::Azure(Box::new(Azure::read(field, default_root))),
        Some((_, field)) if storage.scalar().is_none() => filesystem(field, default_root),
        // Without a folder the next line would only report a second problem.
        None if !others.is_empty() => Driver::InMemory,
        _ => filesystem(&storage.absent().get("filesystem"), default_root),
    }
}

fn refuse(name: &str, field: &Field<'_>) {
    if OTHER_DRIVERS.contains(&name) {
        return field.problem(format!("the driver {name} is not in this version"), STORES);
    }
    let meant = nearest(name, DRIVERS.into_iter().chain(NO_DRIVERS));
    let meant = meant.map(|word| format!(" (was {word} meant?)")).unwrap_or_default();
    field.problem(format!("there is no driver {}", quoted(name)), format!("{STORES}{meant}"));
}

fn filesystem(field: &Field<'_>, default_root: Option<PathBuf>) -> Driver {
    let root = field.get("rootdirectory");
    let folder = root.path().or(default_root);
    if folder.is_none() {
        root.problem("is missing, and there is no home folder to put it in", "the folder for the data");
    }
    let durability = [("full", Durability::Full), ("none", Durability::None)];
    let reserve = field.get("reserve");
    Driver::Filesystem {
        reserve: reserve.is_set().then(|| reserve.size(0, 0..=i64::MAX as u64)),
        root: folder.unwrap_or_default(),
        durability: field.get("durability").choice(&durability).unwrap_or_default(),
    }
}

fn redirect(field: &Field<'_>) -> Redirect {
    let networks = |name| {
        let items = field.get(name).items();
        let network = |item: &Field<'_>| item.parse("a network such as 10.0.0.0/8", |text| text.parse().ok());
        items.iter().filter_map(network).collect()
    };
    let policy = RedirectPolicy::default().disabled(field.get("disable").flag(false));
    Redirect {
        policy: policy.only(networks("only")).except(networks("except")),
        lifetime: field.get("lifetime").duration(Duration::from_secs(20 * 60), Duration::from_secs(60)),
    }
}

/// The Go registry wants all four keys or none; here each has its default.
fn purging(field: &Field<'_>) -> UploadPurging {
    const HOUR: Duration = Duration::from_secs(3600);
    UploadPurging {
        enabled: field.get("enabled").flag(true),
        age: field.get("age").duration(168 * HOUR, Duration::from_secs(60)),
        interval: field.get("interval").duration(24 * HOUR, Duration::from_secs(1)),
        dry_run: field.get("dryrun").flag(false),
    }
}
