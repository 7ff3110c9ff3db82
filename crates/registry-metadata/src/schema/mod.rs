//! The tables, and which promise each of them keeps.
//!
//! Written once for SQLite and PostgreSQL: what the two spell differently is a word in braces that a dialect fills
//! in. Migrations are numbered and only add; an older binary that is still running beside a newer one must go on working,
//! and each migration says how old that binary may be.
//!
//! **Text** is compared by bytes in both. A digest is `sha256:<hex>`, so the order of digests is the order of their text.
//! **Times** are milliseconds since 1970 UTC by the database's `now_ms()`. **Flags** are 0 or 1.
//!
//! # Who keeps which promise
//!
//! Every foreign key restricts: a row that something refers to can not go, whatever the code believes. A deletion that
//! loses a race fails, and is done again from the start on what is there then.
//!
//! | Table | Keeps |
//! |---|---|
//! | `store` | One database, one store of bytes. Its only row also says how old a binary may be that runs on this schema. `mark` grows, and the store holds a copy: a database that has a smaller one was restored from before. `swept_at`: when somebody last began to look through the store, so that of many nodes one does. |
//! | `repositories` | A name. Everything of a repository hangs on the number, so that it can be renamed aside in one row. `listed`: it has a manifest, so the catalog is one index. `purge_at`: it was deleted, has a name that is none, and goes then. `look_at`: a collector looks then whether anything is in it. `→ namespaces`: null until it is placed. `public`: every client may pull it; without accounts nothing asks. `adopted`: another registry still changes it, and clients do not. |
//! | `namespaces` | What a repository is in: the first component of its name, or `_` for a name of one component. Made with its first repository, removed with its last, unless it is `kept`: something other than a push has made it. A deleted repository holds its namespace, so it comes back where it was. |
//! | `objects` | Bytes, by a key that was never used before, or that is another registry's. `bad`: the bytes are not what they were; hidden until pushed again. |
//! | `digests` | What bytes are. `→ objects`: a digest that is known has an object. |
//! | `repository_blobs` | A blob is in a repository. `→ digests`: what is linked has bytes. `lease_until`: until then no collector takes the link, though nothing refers to it. |
//! | `manifests` | A manifest is in a repository, with its bytes, which never change. `lease_until` as above. `subject` is no foreign key: a referrer may come before its subject. `expires_after`: how long a tag leads to it, if its label says so. |
//! | `manifest_blobs` | A manifest refers to a blob. Kept by `digest` always; `target` is the same digest once the blob is here, and then `→ repository_blobs` holds it there: **promise 1**. |
//! | `manifest_children` | An index refers to a manifest, in the same way, `→ manifests`. |
//! | `tags` | A name for a manifest. `→ manifests`: a tag that is listed can be pulled. |
//! | `tag_history` | What a tag led to when. Digests only, so that it holds nothing. |
//! | `uploads` | A session and the key of its bytes, from before the first byte on. Leaves only in the transaction that makes the blob or puts the key into `reclaim`, so no bytes are forgotten. |
//! | `gc_queue` | What may have become garbage, and when to look. A hint: whoever looks decides by the other tables. No foreign keys, so that it never holds anything; rows may lead nowhere. `label`: an image whose labels nobody has read yet. |
//! | `reclaim` | Bytes that nothing leads to any more, and from when on they may be deleted. Another registry's bytes wait until its content is ours. |
//! | `unknown_objects` | Bytes that a sweep of the store found, and that no row leads to: since when. |
//! | `trash_manifests`, `trash_blobs`, `trash_tags` | What was deleted and can be restored until `purge_at`. `trash_blobs → digests`: the bytes are kept till then, though no repository has them. |
//! | `pulls` | When a manifest was pulled last, to the hour. A row of repository 0, which is none, says since when that is known. No foreign keys: it holds nothing, and may lead nowhere. |
//! | `quotas`, `quota_digests` | What the repositories hold whose names begin with `prefix`: each digest that manifests there refer to (`uses`: how many do, and the manifest itself), or that is kept there (`holds`: links of blobs, and entries of the trash); the sums of the sizes of those with uses (`bytes`) and of those without (`held`); how many tags. Written in the transaction that changes what is counted, and locked by it, so two pushes can not both take the last free byte. No foreign keys: they count and hold nothing. |
//! | `quota_uploads` | How many bytes the sessions of these repositories have saved. A part of what is held; changed under the lock of the row of `quotas`. |
//! | `adoption` | Its only row is there from the first import of another registry's content on: when that began, when a run came to its end, since when the content is ours. |
//! | `outbox`, `usage_deltas` | Nothing writes them: events have tables of their own owner, and usage waits. |
//! | `owners` | Of `registry-database`: whose tables there are. |
//!
//! # Who looks for what
//!
//! *Referenced*, of a blob: a row of `manifest_blobs` in this repository has its digest, linked or not. Of a manifest: a
//! tag leads to it, a row of `manifest_children` here has its digest, or its subject is here. One index,
//! by target and then digest, finds both: linked rows by `target = …`, the others by `target IS NULL AND digest = …`.

mod adopted;
mod empty;
mod held;
mod initial;
mod namespaces;
mod pulls;
mod quota;
mod sweeps;

use registry_database::{Migration, Owners, Schema};

/// The tables of content.
///
/// Leases are journalled: they are columns of tables that must be journalled anyway, and a client was told about them.
///
/// What is counted for quotas is left out of a journal because the first start after it is lost counts it again. So a first
/// count, which is one transaction however much there is, never has to fit into an entry of the journal, and a push has fewer
/// rows to store.
pub const SCHEMA: Schema = Schema {
    owner: "metadata",
    migrations: &[
        Migration { number: 1, oldest_binary: 1, sql: initial::SQL },
        Migration { number: 2, oldest_binary: 1, sql: pulls::SQL },
        Migration { number: 3, oldest_binary: 1, sql: sweeps::SQL },
        // A binary that does not know of quotas does not count either: they are to be configured once all nodes do.
        Migration { number: 4, oldest_binary: 1, sql: quota::SQL },
        // One that does not know what is held counts wrongly beside this one: then it is to be counted again.
        Migration { number: 5, oldest_binary: 1, sql: held::SQL },
        // One that does not know of this leaves what it makes for ever.
        Migration { number: 6, oldest_binary: 1, sql: empty::SQL },
        // What one that does not know of this makes is in no namespace until this one places it.
        Migration { number: 8, oldest_binary: 1, sql: namespaces::SQL },
        // The first import raises what a program must know, so that none takes pushes to what is adopted.
        Migration { number: 13, oldest_binary: 1, sql: adopted::SQL },
    ],
    volatile: &["uploads", "quotas", "quota_digests", "quota_uploads", "unknown_objects", "pulls"],
    content: &["repositories", "objects"],
};

/// The owners of a database that has content and nothing more. A program with further owners gives its own list in
/// [`Options`](crate::Options::owners).
pub const OWNERS: Owners = Owners::new(&[&SCHEMA, &registry_database::SCHEMA]);

#[cfg(test)]
mod tests {
    use registry_database::{POSTGRES, SQLITE};

    use super::*;

    #[test]
    fn the_list_of_owners_has_no_doubles_and_never_asks_for_the_future() {
        assert_eq!(OWNERS.problems(), Vec::<String>::new());
    }

    #[test]
    fn a_dialect_fills_in_every_word() {
        for migration in OWNERS.migrations() {
            assert!(!SQLITE.render(migration.sql).contains(['{', '}']));
            assert!(!POSTGRES.render(migration.sql).contains(['{', '}']));
        }
    }

    #[test]
    fn every_foreign_key_restricts() {
        for migration in OWNERS.migrations() {
            assert!(!migration.sql.contains("CASCADE") && !migration.sql.contains("SET NULL"));
        }
    }
}
