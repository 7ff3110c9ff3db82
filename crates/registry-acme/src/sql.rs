//! Every statement. Parameters appear for the first time in the order of their numbers.

use registry_database::Statement;

/// The account with an authority.
pub(crate) const ACCOUNT: Statement =
    Statement::same("SELECT id, credentials FROM acme_accounts WHERE directory = $1");

/// Keeps the account with an authority, unless there is one.
pub(crate) const ADD_ACCOUNT: Statement = Statement::same(
    "INSERT INTO acme_accounts (id, directory, credentials) VALUES ($1, $2, $3) ON CONFLICT (directory) DO NOTHING",
);

/// Forgets the account with an authority.
pub(crate) const REMOVE_ACCOUNT: Statement =
    Statement::same("DELETE FROM acme_accounts WHERE directory = $1");

/// Which certificates of an authority there are.
pub(crate) const CERTIFICATES: Statement = Statement::same(
    "SELECT id, host, not_before_ms, not_after_ms FROM acme_certificates WHERE directory = $1 ORDER BY host",
);

/// A certificate with its key.
pub(crate) const CERTIFICATE: Statement =
    Statement::same("SELECT chain, key FROM acme_certificates WHERE id = $1");

/// Removes the certificate of a host.
pub(crate) const REMOVE_CERTIFICATE: Statement =
    Statement::same("DELETE FROM acme_certificates WHERE host = $1");

/// Keeps the certificate of a host.
pub(crate) const ADD_CERTIFICATE: Statement = Statement::same(
    "INSERT INTO acme_certificates (id, host, directory, chain, key, not_before_ms, not_after_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

/// The hosts whose certificate is being ordered, or is not to be ordered yet.
pub(crate) const TAKEN: Statement = Statement::same(
    "SELECT host FROM acme_orders WHERE claimed_until_ms > now_ms() OR not_before_ms > now_ms()",
);

/// Claims the order of a host's certificate for some milliseconds, unless a node has it or it is not to be tried yet.
pub(crate) const CLAIM: Statement = Statement::same(
    "INSERT INTO acme_orders (host, claimed_until_ms, failures, not_before_ms) VALUES ($1, now_ms() + $2, 0, 0)
    ON CONFLICT (host) DO UPDATE SET claimed_until_ms = excluded.claimed_until_ms
        WHERE acme_orders.claimed_until_ms <= now_ms() AND acme_orders.not_before_ms <= now_ms()",
);

/// How often the order of a host's certificate failed in a row.
pub(crate) const FAILURES: Statement = Statement::same("SELECT failures FROM acme_orders WHERE host = $1");

/// Notes that an order failed, and for how many milliseconds it is not tried again.
pub(crate) const FAILED: Statement = Statement::same(
    "UPDATE acme_orders SET claimed_until_ms = 0, failures = failures + 1, not_before_ms = now_ms() + $1 WHERE host = $2",
);

/// Forgets the order of a host's certificate.
pub(crate) const REMOVE_ORDER: Statement = Statement::same("DELETE FROM acme_orders WHERE host = $1");

/// What the authority wants to see, of all hosts.
pub(crate) const CHALLENGES: Statement = Statement::same(
    "SELECT token, host, answer FROM acme_challenges WHERE until_ms > now_ms() ORDER BY token",
);

/// Keeps what the authority wants to see of a host, for some milliseconds.
pub(crate) const ADD_CHALLENGE: Statement = Statement::same(
    "INSERT INTO acme_challenges (token, host, answer, until_ms) VALUES ($1, $2, $3, now_ms() + $4)
    ON CONFLICT (token) DO NOTHING",
);

/// Forgets what the authority wanted to see of a host, and what is too old.
pub(crate) const REMOVE_CHALLENGES: Statement =
    Statement::same("DELETE FROM acme_challenges WHERE host = $1 OR until_ms <= now_ms()");

/// The directories that certificates are from.
pub(crate) const DIRECTORIES: Statement =
    Statement::same("SELECT DISTINCT directory FROM acme_certificates ORDER BY directory");

/// Forgets the account that ordered the certificate of a host.
pub(crate) const REMOVE_ACCOUNT_OF: Statement = Statement::same(
    "DELETE FROM acme_accounts WHERE directory IN (SELECT directory FROM acme_certificates WHERE host = $1)",
);
