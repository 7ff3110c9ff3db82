//! Images, when they were pushed and pulled, and who holds them.

use super::{manifests::referenced, statements};

/// When a manifest was pulled last, and when one that it lists was.
macro_rules! pulled {
    ($manifest:literal) => {
        concat!(
            "(SELECT p.pulled_at FROM pulls p
                WHERE p.repository = ",
            $manifest,
            ".repository AND p.digest = ",
            $manifest,
            ".digest),
            (SELECT MAX(p.pulled_at) FROM manifest_children c CROSS JOIN pulls p
                WHERE c.repository = ",
            $manifest,
            ".repository AND c.manifest = ",
            $manifest,
            ".digest
                    AND p.repository = c.repository AND p.digest = c.digest)"
        )
    };
}

/// A tag and what it leads to. The last column: whether its name is that of a manifest which is here, as old clients name what
/// they have to say about an image.
macro_rules! tagged {
    () => {
        concat!(
            "SELECT t.name, t.digest, m.pushed_at, t.updated_at, ",
            pulled!("t"),
            ",
                CASE WHEN substr(t.name, 1, 7) = 'sha256-' AND EXISTS (SELECT 1 FROM manifests s
                    WHERE s.repository = t.repository AND s.digest = 'sha256:' || substr(t.name, 8, 64))
                THEN 1 ELSE 0 END"
        )
    };
}

/// A manifest; the last column: whether something refers to it.
macro_rules! untagged {
    () => {
        concat!(
            "SELECT m.digest, m.pushed_at, m.lease_until, now_ms(), ",
            pulled!("m"),
            ", CASE ",
            referenced!()
        )
    };
}

statements! {
    TAGGED_AFTER = concat!(
        tagged!(), "
        FROM repositories r
        JOIN tags t ON t.repository = r.id
        JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
        WHERE r.name = $1 AND t.name > $2
        ORDER BY t.name LIMIT $3"
    );

    TAGGED = concat!(
        tagged!(), "
        FROM tags t
        JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
        WHERE t.repository = $1 AND t.name = $2"
    );

    UNTAGGED_AFTER = concat!(
        untagged!(), "
        FROM repositories r
        JOIN manifests m ON m.repository = r.id
        WHERE r.name = $1 AND m.digest > $2
        ORDER BY m.digest LIMIT $3"
    );

    UNTAGGED = concat!(untagged!(), " FROM manifests m WHERE m.repository = $1 AND m.digest = $2");

    /// The time now, and since when pulls are known, if they are.
    TIMES = "SELECT now_ms(), MAX(p.pulled_at) FROM pulls p WHERE p.repository = 0 AND p.digest = ''";

    BEGIN_PULLS = "INSERT INTO pulls (repository, digest, pulled_at) VALUES (0, '', now_ms())
        ON CONFLICT (repository, digest) DO NOTHING";

    /// Hits no row if the manifest is not here, or was pulled not long ago.
    RECORD_PULL = "INSERT INTO pulls (repository, digest, pulled_at)
        SELECT m.repository, m.digest, now_ms()
        FROM repositories r JOIN manifests m ON m.repository = r.id
        WHERE r.name = $1 AND m.digest = $2
        ON CONFLICT (repository, digest) DO UPDATE SET pulled_at = excluded.pulled_at
        WHERE pulls.pulled_at <= excluded.pulled_at - $3";

    FORGET_PULLS = "DELETE FROM pulls WHERE repository = $1 AND digest = $2";
}
