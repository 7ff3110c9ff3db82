//! Statements that only SQLite understands: those that take a list of values, as JSON.

use super::texts;

texts! {
    UNKNOWN = "SELECT f.value FROM json_each($1) f
        WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.location = f.value)
            AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.location = f.value)
            AND NOT EXISTS (SELECT 1 FROM reclaim r WHERE r.location = f.value)";

    NOTE_UNKNOWN = "INSERT INTO unknown_objects (location, first_seen, last_seen)
        SELECT f.value, now_ms(), now_ms() FROM json_each($1) f WHERE true
        ON CONFLICT (location) DO UPDATE SET last_seen = excluded.last_seen
        RETURNING location, last_seen - first_seen";

    DIGESTS_OF = "SELECT d.object, d.digest FROM json_each($1) f JOIN digests d ON d.object = f.value";

    NAMES_OF = "SELECT r.id, r.name FROM json_each($1) f JOIN repositories r ON r.id = f.value";
}
