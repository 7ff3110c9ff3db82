//! The table: what each crate may see.

/// What a crate may see.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Which of ours it may import.
    pub(super) imports: &'static [&'static str],
    /// What it must not bring along, not even through others.
    pub(super) never: &'static [&'static str],
    /// What it must not import itself; below it, others may.
    pub(super) never_directly: &'static [&'static str],
}

pub(super) const RUNTIMES: [&str; 7] =
    ["tokio", "async-std", "smol", "async-executor", "futures-executor", "hyper", "object_store"];

pub(super) const TABLE: &[Row] = &[
    Row {
        name: "registry-digest",
        imports: &[],
        never: &["tokio", "async-std", "smol", "hyper", "http", "object_store", "rusqlite", "time", "chrono"],
        never_directly: &[],
    },
    Row {
        name: "registry-types",
        imports: &["registry-digest"],
        never: &["tokio", "async-std", "smol", "hyper", "http", "object_store", "rusqlite", "time", "chrono"],
        never_directly: &[],
    },
    Row {
        name: "registry-storage",
        imports: &["registry-digest", "registry-types"],
        never: &["rusqlite", "bcrypt"],
        // Object stores are spoken to through a client, and nothing is served.
        never_directly: &["hyper"],
    },
    Row {
        name: "registry-sendfile",
        imports: &[],
        never: &["hyper", "http", "rusqlite", "object_store"],
        never_directly: &[],
    },
    Row {
        name: "registry-server",
        imports: &["registry-types", "registry-sendfile"],
        never: &["rusqlite", "object_store", "bcrypt"],
        never_directly: &[],
    },
    Row {
        name: "registry-outbound",
        imports: &["registry-types"],
        never: &["rusqlite", "object_store", "bcrypt"],
        never_directly: &["hyper"],
    },
    Row {
        name: "registry-secrets",
        imports: &["registry-database"],
        never: &["hyper", "http", "object_store", "bcrypt"],
        never_directly: &["rusqlite"],
    },
    Row {
        name: "registry-database",
        imports: &[],
        never: &["hyper", "http", "object_store"],
        never_directly: &[],
    },
    Row {
        name: "registry-events",
        imports: &["registry-types", "registry-database"],
        never: &["hyper", "http", "object_store", "bcrypt"],
        never_directly: &[],
    },
    Row {
        name: "registry-jobs",
        imports: &["registry-database"],
        never: &["hyper", "http", "object_store", "bcrypt"],
        never_directly: &[],
    },
    Row {
        name: "registry-journal",
        imports: &["registry-digest", "registry-types", "registry-storage", "registry-database"],
        never: &["bcrypt"],
        // Below it, object stores are spoken to through a client.
        never_directly: &["hyper", "http", "object_store"],
    },
    Row {
        name: "registry-metadata",
        imports: &[
            "registry-digest",
            "registry-types",
            "registry-database",
            "registry-events",
            "registry-journal",
        ],
        never: &["bcrypt"],
        never_directly: &["hyper", "http", "object_store"],
    },
    Row {
        name: "registry-collector",
        imports: &["registry-digest", "registry-types", "registry-storage", "registry-metadata"],
        never: &[],
        // Below it, object stores are spoken to through a client.
        never_directly: &["rusqlite", "object_store", "hyper", "http"],
    },
    Row {
        name: "registry-import",
        imports: &["registry-digest", "registry-types", "registry-storage", "registry-metadata"],
        never: &[],
        // Below it, object stores are spoken to through a client.
        never_directly: &["rusqlite", "object_store", "hyper", "http"],
    },
    Row {
        name: "registry-auth",
        imports: &["registry-types"],
        never: &["hyper", "rusqlite", "object_store"],
        never_directly: &[],
    },
    Row {
        name: "registry-acme",
        imports: &["registry-database", "registry-secrets", "registry-outbound"],
        never: &["object_store", "bcrypt"],
        never_directly: &["hyper", "reqwest", "rusqlite"],
    },
    Row {
        name: "registry-webhooks",
        imports: &[
            "registry-types",
            "registry-database",
            "registry-events",
            "registry-jobs",
            "registry-secrets",
            "registry-outbound",
        ],
        never: &["object_store", "bcrypt"],
        never_directly: &["hyper", "reqwest", "rusqlite"],
    },
    Row {
        name: "registry-config",
        imports: &["registry-types"],
        never: &["tokio", "async-std", "smol", "hyper", "http", "rusqlite", "object_store"],
        never_directly: &[],
    },
    Row {
        name: "registry-api",
        imports: &[
            "registry-digest",
            "registry-types",
            "registry-storage",
            "registry-server",
            "registry-metadata",
            "registry-auth",
        ],
        never: &["saphyr-parser", "serde_yaml"],
        never_directly: &["rusqlite", "hyper"],
    },
    Row {
        name: "registry-proxy",
        imports: &[
            "registry-digest",
            "registry-types",
            "registry-storage",
            "registry-metadata",
            "registry-outbound",
            "registry-api",
        ],
        never: &["saphyr-parser", "serde_yaml"],
        never_directly: &["hyper", "reqwest", "rusqlite", "object_store"],
    },
    Row {
        name: "registry-core",
        imports: &[
            "registry-digest",
            "registry-types",
            "registry-storage",
            "registry-database",
            "registry-events",
            "registry-jobs",
            "registry-journal",
            "registry-metadata",
            "registry-auth",
            "registry-collector",
            "registry-import",
            "registry-config",
            "registry-outbound",
            "registry-server",
            "registry-api",
            "registry-secrets",
            "registry-acme",
            "registry-webhooks",
            "registry-proxy",
        ],
        never: &[],
        never_directly: &["rusqlite", "hyper"],
    },
    Row {
        name: "registry",
        imports: &["registry-core"],
        never: &[],
        never_directly: &["rusqlite", "hyper", "http"],
    },
    Row {
        name: "registry-mirror",
        imports: &["registry"],
        never: &[],
        never_directly: &["rusqlite", "hyper", "http"],
    },
    Row {
        name: "registry-gc",
        imports: &["registry-core"],
        never: &[],
        never_directly: &["rusqlite", "hyper", "http"],
    },
];
