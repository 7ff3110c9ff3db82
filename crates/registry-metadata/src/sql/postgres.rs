//! Statements that only PostgreSQL needs or understands: those that lock rows, and those that take many digests at once.
//!
//! # Who locks what, and in which order
//!
//! READ COMMITTED lets each statement see what was committed when it began. So whoever decides by what is there first
//! locks the row that the decision is about, and looks in a *new* statement; then either it sees what the others did, or
//! they wait and see what it did. The order, for everybody: repository, tags, rows of `gc_queue`, then their targets, each
//! in the order of their names. Where somebody can not keep it, PostgreSQL finds the circle and one side is run again.
//!
//! | Decision | Locked | Against |
//! |---|---|---|
//! | a manifest may refer to a blob or child | the target, by the foreign key (`KEY SHARE`) | its deletion (`UPDATE`): the later one fails by the key, or sees the reference |
//! | a blob or manifest is unreferenced and may go | the row (`UPDATE`), then a look for references | a reference on its way in, which holds `KEY SHARE` until it is committed |
//! | the last reference went: a lease is to be granted | the row (`NO KEY UPDATE`), then a look for references | another one that removes the other last reference: without the lock each would see the other's |
//! | a target is not here, so the reference is kept by digest alone | its row of `gc_queue`, then a second look | the target on its way in, which writes that row before it looks for who waits |
//! | which object is a digest's | digest (`KEY SHARE`) and object (`NO KEY UPDATE`) | another upload of the same bytes, which may replace it too; the collector |
//! | what a tag led to before | the tag (`NO KEY UPDATE`) | another push of the tag; a new tag goes in if nobody else's does |
//! | the repository has no manifest left | the repository: first `NO KEY UPDATE` (other deletions), then `UPDATE` | a manifest on its way in, which holds `KEY SHARE` |
//! | when a tag expires | the manifest whose label says when (`UPDATE`) | a tag that is being set to it, which holds `KEY SHARE` and then looks for the label |
//! | a tag expires | the tag, by the condition of the `DELETE`: what it leads to and since when, as it was seen | a push that sets it: it stays |
//! | something on the queue is looked at | for a manifest its repository; then its entry, if nobody else has it; then the target (`UPDATE`) | whoever grants it a lease or refers to it |
//! | a namespace has no repository left | last of its piece: the namespace (`UPDATE`), then a look for repositories | another collector that removes the other last repository; a repository on its way in, which holds `KEY SHARE` until it is committed, or waits and fails by the key |
//! | there is room in a quota | last of all: the repository (`KEY SHARE`), then the counters of its quotas (`UPDATE`) in the order of their prefixes | another push that takes the same room. A quota that is new is counted under a lock on the table of the counters, which waits for whoever has counted and not committed: the only lock that is not on rows, once for each new quota |
//! | a session is free | its row, by the condition of the `UPDATE` that claims it | another claim: the second one sees the first |

#![cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "some are PostgreSQL's modules' alone"))]

use super::{blobs, collecting, manifests, quota, repositories, restore, tags, texts};

/// Joins texts when this is compiled.
macro_rules! join {
    ($($part:expr),+) => {{
        const PARTS: &[&str] = &[$($part),+];
        const LENGTH: usize = length(PARTS);
        const BYTES: [u8; LENGTH] = joined(PARTS);
        match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("texts joined are text"),
        }
    }};
}

const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}

const fn joined<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let (mut bytes, mut at, mut part) = ([0; LENGTH], 0, 0);
    while part < parts.len() {
        let from = parts[part].as_bytes();
        let mut byte = 0;
        while byte < from.len() {
            bytes[at] = from[byte];
            at += 1;
            byte += 1;
        }
        part += 1;
    }
    bytes
}

texts! {
    /// Takes a session if nobody has it, or if it is this node's own claim that is being given back. A crash of the server
    /// may forget a claim, so the epoch follows the time: none is given twice.
    CLAIM = "UPDATE uploads SET epoch = GREATEST(epoch + 1, now_ms()), claimed_until = now_ms() + $1
        WHERE id = $2 AND repository = (SELECT id FROM repositories WHERE name = $3)
            AND (claimed_until <= now_ms() OR epoch = $4)
        RETURNING epoch, location, algorithm, offset_bytes, state";

    RENEW_CLAIMS = "UPDATE uploads SET claimed_until = now_ms() + $1
        FROM unnest($2::text[], $3::bigint[]) AS ours (id, epoch)
        WHERE uploads.id = ours.id AND uploads.epoch = ours.epoch";

    RELEASE_CLAIMS = "UPDATE uploads SET claimed_until = 0
        FROM unnest($1::text[], $2::bigint[]) AS ours (id, epoch)
        WHERE uploads.id = ours.id AND uploads.epoch = ours.epoch";

    /// In one statement if the repository is there already, and has no more sessions than `$5`.
    START = "INSERT INTO uploads (id, repository, location, algorithm, started_at, touched_at)
        SELECT $1, r.id, $2, $3, now_ms(), now_ms() FROM repositories r
        WHERE r.name = $4 AND r.adopted IS NULL
            AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.repository = r.id LIMIT 1 OFFSET $5)";

    /// What a session has saved. Its repository is neither set aside nor brought back until this is counted.
    LOCK_SAVED = "SELECT u.repository, u.offset_bytes
        FROM uploads u JOIN repositories r ON r.id = u.repository
        WHERE u.id = $1 FOR UPDATE OF u FOR KEY SHARE OF r";

    LOCK_TO_FINISH = "SELECT u.repository, u.epoch, u.location
        FROM uploads u JOIN repositories r ON r.id = u.repository
        WHERE u.id = $1 AND r.name = $2 FOR UPDATE OF u FOR KEY SHARE OF r";

    /// Of many sessions that are to end, so that the state that is read next is the last one.
    LOCK_UPLOADS = "SELECT 1 FROM uploads WHERE id = ANY ($1) ORDER BY id FOR UPDATE";

    /// Ends a session that nobody has, and gives its bytes back with their state.
    CANCEL = "WITH gone AS (
            DELETE FROM uploads WHERE id = $1 AND repository = (SELECT id FROM repositories WHERE name = $2)
                AND (claimed_until <= now_ms() OR epoch = $3)
            RETURNING location, state, repository, offset_bytes),
        given AS (
            INSERT INTO reclaim (location, not_before, reason, upload_state)
            SELECT location, now_ms(), $4, state FROM gone ON CONFLICT (location) DO NOTHING)
        SELECT repository, offset_bytes FROM gone";

    /// A session that was claimed counts as touched until its claim ends. What another node is at work on is passed over.
    EXPIRE = "WITH old AS (
            SELECT id FROM uploads WHERE touched_at <= now_ms() - $1 AND claimed_until <= now_ms() - $1
            ORDER BY touched_at LIMIT $2 FOR UPDATE SKIP LOCKED),
        gone AS (
            DELETE FROM uploads WHERE id IN (SELECT id FROM old)
            RETURNING location, state, repository, offset_bytes),
        given AS (
            INSERT INTO reclaim (location, not_before, reason, upload_state)
            SELECT location, now_ms(), $3, state FROM gone ON CONFLICT (location) DO NOTHING)
        SELECT repository, offset_bytes FROM gone";

    /// As `EXPIRE`, of repositories for which there is a quota.
    EXPIRE_COUNTED = "WITH old AS (
            SELECT u.id FROM uploads u JOIN repositories r ON r.id = u.repository
            WHERE u.touched_at <= now_ms() - $1 AND u.claimed_until <= now_ms() - $1
                AND EXISTS (SELECT 1 FROM quotas q
                    WHERE q.prefix <= r.name AND substr(r.name, 1, length(q.prefix)) = q.prefix)
            ORDER BY u.touched_at LIMIT $2 FOR UPDATE OF u SKIP LOCKED),
        gone AS (
            DELETE FROM uploads WHERE id IN (SELECT id FROM old)
            RETURNING location, state, repository, offset_bytes),
        given AS (
            INSERT INTO reclaim (location, not_before, reason, upload_state)
            SELECT location, now_ms(), $3, state FROM gone ON CONFLICT (location) DO NOTHING)
        SELECT repository, offset_bytes FROM gone";

    /// Takes what is due for a while, so that no other node deletes the same bytes meanwhile.
    TAKE_DUE = "WITH due AS (
            SELECT location, not_before FROM reclaim WHERE not_before <= now_ms()
            ORDER BY not_before LIMIT $1 FOR UPDATE SKIP LOCKED),
        taken AS (
            UPDATE reclaim SET not_before = now_ms() + $2 FROM due WHERE reclaim.location = due.location
            RETURNING reclaim.location, reclaim.upload_state, due.not_before)
        SELECT location, upload_state FROM taken ORDER BY not_before, location";

    LOCK_OBJECT = "SELECT o.id, o.location, o.bad
        FROM digests d JOIN objects o ON o.id = d.object WHERE d.digest = $1
        FOR KEY SHARE OF d FOR NO KEY UPDATE OF o";

    /// `blobs::INSERT_OBJECT` and `blobs::INSERT_DIGEST` in one.
    INSERT_OBJECT_AND_DIGEST = "WITH object AS (
            INSERT INTO objects (location, size, created_at) VALUES ($1, $2, now_ms()) RETURNING id)
        INSERT INTO digests (digest, object) SELECT $3, id FROM object";

    /// As `blobs::LINK`, and whether the link is new: only what was there is locked before it is changed.
    LINK_COUNTED = join!(blobs::LINK.postgres, " RETURNING CASE WHEN xmax = 0 THEN 1 ELSE 0 END");

    LOCK_BLOB = "SELECT 1 FROM repository_blobs WHERE repository = $1 AND digest = $2 FOR UPDATE";

    LOCK_MANIFEST = "SELECT 1 FROM manifests WHERE repository = $1 AND digest = $2 FOR UPDATE";

    /// As `blobs::LINKED`, for many. By name, so that it need not wait for the number.
    LINKED_OF = "SELECT b.digest, o.bad
        FROM repository_blobs b
        JOIN digests d ON d.digest = b.digest
        JOIN objects o ON o.id = d.object
        WHERE b.repository = (SELECT id FROM repositories WHERE name = $1) AND b.digest = ANY ($2)";

    /// Which of many manifests are here.
    HERE_OF = "SELECT digest FROM manifests
        WHERE repository = (SELECT id FROM repositories WHERE name = $1) AND digest = ANY ($2)";

    /// Locks the tags that are here and tells what they lead to.
    LOCK_TAGS = "SELECT name, digest FROM tags
        WHERE repository = (SELECT id FROM repositories WHERE name = $1) AND name = ANY ($2)
        ORDER BY name FOR NO KEY UPDATE";

    INSERT_TAG = "INSERT INTO tags (repository, name, digest, updated_at) VALUES ($1, $2, $3, now_ms())
        ON CONFLICT (repository, name) DO NOTHING";

    /// Of a tag that is locked.
    MOVE_TAG = "UPDATE tags SET digest = $3, updated_at = now_ms() WHERE repository = $1 AND name = $2";

    /// In the order given, which is that of the locks. A second push of the same manifest has nothing to insert.
    INSERT_BLOBS = "INSERT INTO manifest_blobs (repository, manifest, digest, target)
        SELECT $1, $2, digest, target FROM unnest($3::text[], $4::text[]) AS reference (digest, target)
        ON CONFLICT (repository, manifest, digest) DO NOTHING";

    INSERT_CHILDREN = "INSERT INTO manifest_children (repository, manifest, digest, target)
        SELECT $1, $2, digest, target FROM unnest($3::text[], $4::text[]) AS reference (digest, target)
        ON CONFLICT (repository, manifest, digest) DO NOTHING";

    /// Writes the row of the queue that whoever waits for a manifest, or brings it, locks. What is there stays as it is.
    MEET = "INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
        SELECT $1, $2, digest, now_ms() + $4, $5 FROM unnest($3::text[]) AS waiting (digest)
        ON CONFLICT (kind, repository, digest) DO UPDATE SET reason = gc_queue.reason";

    /// Removes such rows if they are nothing but that. Until the transaction ends the others wait for them all the same.
    PART = "DELETE FROM gc_queue WHERE kind = $1 AND repository = $2 AND digest = ANY ($3) AND reason = $4";

    LOCK_QUEUED = "SELECT 1 FROM gc_queue WHERE kind = $1 AND repository = $2 AND digest = ANY ($3)
        ORDER BY digest FOR UPDATE";

    LOCK_BLOBS = "SELECT 1 FROM repository_blobs WHERE repository = $1 AND digest = ANY ($2)
        ORDER BY digest FOR NO KEY UPDATE";

    LOCK_MANIFESTS = "SELECT 1 FROM manifests WHERE repository = $1 AND digest = ANY ($2)
        ORDER BY digest FOR NO KEY UPDATE";

    /// As `blobs::GRANT_UNREFERENCED`, for many that are locked.
    GRANT_UNREFERENCED_BLOBS = "UPDATE repository_blobs b SET lease_until = now_ms() + $1
        WHERE b.repository = $2 AND b.digest = ANY ($3)
            AND NOT EXISTS (SELECT 1 FROM manifest_blobs m
                WHERE m.repository = b.repository AND m.target = b.digest)
            AND NOT EXISTS (SELECT 1 FROM manifest_blobs m
                WHERE m.repository = b.repository AND m.digest = b.digest AND m.target IS NULL)
        RETURNING b.digest";

    /// As `manifests::GRANT_UNREFERENCED`, for many that are locked.
    GRANT_UNREFERENCED_MANIFESTS = "UPDATE manifests m SET lease_until = now_ms() + $1
        WHERE m.repository = $2 AND m.digest = ANY ($3)
            AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
            AND NOT EXISTS (SELECT 1 FROM manifest_children c
                WHERE c.repository = m.repository AND c.target = m.digest)
            AND NOT EXISTS (SELECT 1 FROM manifest_children c
                WHERE c.repository = m.repository AND c.digest = m.digest AND c.target IS NULL)
            AND NOT EXISTS (SELECT 1 FROM manifests s
                WHERE s.repository = m.repository AND s.digest = m.subject)
        RETURNING m.digest";

    ENQUEUE_ALL = "INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
        SELECT $1, $2, digest, now_ms() + $3, $4 FROM unnest($5::text[]) AS waiting (digest)
        ON CONFLICT (kind, repository, digest) DO UPDATE SET due_at = excluded.due_at, reason = excluded.reason";

    LOCK_REPOSITORY_TO_CHANGE = "SELECT id, adopted FROM repositories WHERE name = $1 FOR NO KEY UPDATE";

    /// So that none of these is set aside or brought back until what changes in them is counted.
    LOCK_REPOSITORIES_SHARED = "SELECT 1 FROM repositories WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE";

    LOCK_REPOSITORY_ALONE = "SELECT 1 FROM repositories WHERE id = $1 FOR UPDATE";

    PAGE_OF_RANGES = "SELECT r.name FROM unnest($1::text[]) g
        CROSS JOIN LATERAL (
            SELECT w.name FROM repositories w
            WHERE w.listed = 1 AND w.name >= split_part(g, ' ', 1) AND w.name < split_part(g, ' ', 2) AND w.name > $2
            ORDER BY w.name LIMIT $3) r
        ORDER BY r.name LIMIT $3";

    WITH_BLOB_AMONG = "SELECT r.name FROM unnest($1::text[]) g
        JOIN repositories r ON r.name = g
        JOIN repository_blobs b ON b.repository = r.id AND b.digest = $2
        JOIN digests d ON d.digest = b.digest
        JOIN objects o ON o.id = d.object
        WHERE o.bad = 0 AND r.purge_at IS NULL
        LIMIT $3";

    /// As `tags::REMEMBER` and `tags::FORGET_OLDEST` in one: the new change is not seen yet, so one less is left out.
    REMEMBER = join!(
        "WITH oldest AS (", tags::FORGET_OLDEST.postgres, ")
        INSERT INTO tag_history (repository, name, digest, at, actor) VALUES ($1, $2, $4, now_ms(), $5)"
    );

    REMEMBER_DELETED = "INSERT INTO tag_history (repository, name, digest, at, actor)
        SELECT $1, name, NULL, now_ms(), $2 FROM unnest($3::text[]) AS gone (name)";

    TRASH_ALL = "INSERT INTO trash_tags (repository, name, digest, deleted_at, deleted_by, purge_at)
        SELECT $1, name, $2, now_ms(), $3, now_ms() + $4 FROM unnest($5::text[]) AS gone (name)
        ON CONFLICT (repository, name, digest) DO UPDATE SET
            deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by, purge_at = excluded.purge_at";

    /// As `manifests::INSERT`, of an image whose labels somebody is to read.
    INSERT_LABELLED = join!(
        "WITH new AS (", manifests::INSERT.postgres, " RETURNING digest)
        INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
        SELECT 'label', $1, digest, now_ms(), 'pushed' FROM new
        ON CONFLICT (kind, repository, digest) DO UPDATE SET due_at = excluded.due_at, reason = excluded.reason"
    );

    /// Not a repository that was set aside while a manifest was on its way into it.
    LIST = join!(repositories::LIST.postgres, " AND purge_at IS NULL");

    LOCK_REPOSITORY_NUMBERED = "SELECT 1 FROM repositories WHERE id = $1 FOR NO KEY UPDATE";

    LOCK_ENTRY = "SELECT reason FROM gc_queue
        WHERE kind = $1 AND repository = $2 AND digest = $3 AND due_at <= now_ms() FOR UPDATE SKIP LOCKED";

    LOCK_BLOB_LEASE = join!(collecting::BLOB_LEASE.postgres, " FOR UPDATE");

    LOCK_MANIFEST_LEASE = join!(collecting::MANIFEST_LEASE.postgres, " FOR UPDATE");

    LOCK_DIGEST_OBJECT = join!(collecting::DIGEST_OBJECT.postgres, " FOR UPDATE OF d");

    TAKE_TRASHED_TAGS = join!(collecting::TRASHED_TAGS.postgres, " FOR UPDATE SKIP LOCKED");

    TAKE_TRASHED_MANIFESTS = join!(collecting::TRASHED_MANIFESTS.postgres, " FOR UPDATE SKIP LOCKED");

    LOCK_IS_TRASHED = join!(manifests::IS_TRASHED.postgres, " FOR UPDATE");

    LOCK_TRASHED_MANIFEST = join!(restore::TRASHED_MANIFEST.postgres, " FOR UPDATE");

    LOCK_TRASHED_TAG = "SELECT 1 FROM trash_tags
        WHERE repository = $1 AND name = $2 AND digest = $3 AND purge_at <= now_ms() FOR UPDATE SKIP LOCKED";

    LOCK_DUE_MANIFEST = "SELECT 1 FROM trash_manifests
        WHERE repository = $1 AND digest = $2 AND purge_at <= now_ms() FOR UPDATE SKIP LOCKED";

    LOCK_DUE_REPOSITORY = "SELECT name FROM repositories
        WHERE id = $1 AND purge_at IS NOT NULL AND purge_at <= now_ms() FOR UPDATE SKIP LOCKED";

    MAKE_ALL = "INSERT INTO namespaces (name, created_at) SELECT name, now_ms() FROM unnest($1::text[]) AS new (name)
        ON CONFLICT (name) DO NOTHING";

    /// Looks at the rows of the list, and not at all that are in no namespace.
    PLACE = "WITH free AS (
            SELECT id FROM repositories WHERE id = ANY ($2) AND COALESCE(namespace, 0) = 0
            ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE repositories r SET namespace = n.id
        FROM unnest($1::text[], $2::bigint[]) AS placed (name, id)
            JOIN namespaces n ON n.name = placed.name
            JOIN free ON free.id = placed.id
        WHERE r.id = placed.id";

    LOCK_UNKEPT = "SELECT id FROM namespaces WHERE name = $1 AND kept = 0 FOR UPDATE";

    LOCK_UNUSED = "SELECT id FROM namespaces WHERE id = ANY ($1) AND kept = 0 ORDER BY id FOR UPDATE SKIP LOCKED";

    UNUSED_OF = "SELECT n.id, n.name FROM namespaces n WHERE n.id = ANY ($1)
        AND NOT EXISTS (SELECT 1 FROM repositories r WHERE r.namespace = n.id) ORDER BY n.id";

    REMOVE_UNUSED = "DELETE FROM namespaces WHERE id = ANY ($1)
        AND NOT EXISTS (SELECT 1 FROM repositories r WHERE r.namespace = namespaces.id)";

    LOCK_MAYBE_EMPTY = "SELECT name FROM repositories
        WHERE id = $1 AND purge_at IS NULL AND look_at <= now_ms() FOR UPDATE SKIP LOCKED";

    UNKNOWN = "SELECT location FROM unnest($1::text[]) AS found (location)
        WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.location = found.location)
            AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.location = found.location)
            AND NOT EXISTS (SELECT 1 FROM reclaim r WHERE r.location = found.location)";

    /// In the order of the locations, so that two nodes do not wait for each other.
    NOTE_UNKNOWN = join!(
        "INSERT INTO unknown_objects (location, first_seen, last_seen)
        SELECT location, now_ms(), now_ms() FROM (", UNKNOWN, ") AS noted ORDER BY location
        ON CONFLICT (location) DO UPDATE SET last_seen = excluded.last_seen
        RETURNING location, last_seen - first_seen"
    );

    DIGESTS_OF = "SELECT object, digest FROM digests WHERE object = ANY ($1)";

    NAMES_OF = "SELECT id, name FROM repositories WHERE id = ANY ($1)";

    LOCK_HOLDING = join!(quota::HOLDING.postgres, " FOR KEY SHARE OF r FOR UPDATE OF q");

    /// The counters of several repositories, in the order of their prefixes.
    LOCK_COUNTERS = "SELECT 1 FROM quotas q WHERE EXISTS (SELECT 1 FROM repositories r
            WHERE r.id = ANY ($1) AND r.purge_at IS NULL AND substr(r.name, 1, length(q.prefix)) = q.prefix)
        ORDER BY q.prefix FOR UPDATE OF q";

    COUNT = "INSERT INTO quota_digests (prefix, digest, uses, holds, size)
        SELECT $1, more.entry ->> 0, CAST(more.entry ->> 1 AS BIGINT), CAST(more.entry ->> 2 AS BIGINT),
            COALESCE(CAST(more.entry ->> 3 AS BIGINT),
                (SELECT o.size FROM digests d JOIN objects o ON o.id = d.object WHERE d.digest = more.entry ->> 0), 0)
        FROM json_array_elements(CAST(CAST($2 AS TEXT) AS JSON)) AS more (entry)
        ON CONFLICT (prefix, digest) DO UPDATE SET
            uses = quota_digests.uses + excluded.uses, holds = quota_digests.holds + excluded.holds
        RETURNING digest, uses, holds, size";

    FORGET = "DELETE FROM quota_digests
        WHERE prefix = $1 AND digest = ANY ($2) AND uses <= 0 AND holds <= 0";
}

/// Waits for whoever has counted and not committed, and has others who count wait; nobody who only reads.
pub(crate) const LOCK_QUOTAS: &str = "LOCK TABLE quotas IN EXCLUSIVE MODE";
