//! Keeps certificates up to date.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use instant_acme::{Account, AccountCredentials, NewAccount};
use registry_database::{AnyStep, Database};
use registry_outbound::{Destination, Outbound};
use registry_secrets::{Place, Secrets};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

use crate::{
    AcmeError, Certificates, Challenge, SCHEMA,
    certificate::{certified, validity},
    certificates::Shown,
    client::ToAuthority,
    order::{Issued, order},
    steps::{self, Asked, Known, New, Seen},
};

/// How many hosts there may be.
pub const HOSTS_MAX: usize = 100;

/// How often a node looks what there is.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A node orders a certificate anew when less than its lifetime divided by this number is left.
pub const RENEW_AT: i64 = 3;

/// How long one order may take, and for how long a node has it.
const ORDER_WITHIN: Duration = Duration::from_secs(180);

/// The first pause after a failed order, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(6 * 60 * 60));

/// How long nothing is done after the database failed.
const PAUSE_WITHOUT_DATABASE: Duration = Duration::from_secs(10);

/// What an authority says that has forgotten an account. Spec: RFC 8555, section 6.7.
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// The longest name of a host. Spec: RFC 1035, section 2.3.4.
const HOST_BYTES_MAX: usize = 253;

/// What certificates are wanted, and with what they are had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where everything is kept.
    pub database: Database,
    /// What seals keys.
    pub secrets: Secrets,
    /// What asks the authority.
    pub outbound: Outbound,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Whom the authority may write to.
    pub email: Option<String>,
    /// The hosts. What a client is shown that names none is the first one's.
    pub hosts: Vec<String>,
    /// How the authority is shown that they are this registry's.
    pub challenge: Challenge,
    /// The first pause after a failed order, and the longest.
    pub pause: (Duration, Duration),
}

impl Options {
    /// From this directory, for these hosts.
    pub fn new(
        database: Database,
        secrets: Secrets,
        outbound: Outbound,
        directory: String,
        hosts: Vec<String>,
    ) -> Options {
        let (email, challenge, pause) = (None, Challenge::default(), PAUSE);
        Options { database, secrets, outbound, directory, email, hosts, challenge, pause }
    }
}

/// What keeps the certificates of a node up to date.
#[derive(Debug)]
pub struct Acme {
    options: Options,
    certificates: Certificates,
    seen: Mutex<Rows>,
}

/// By host, the number of the row and what is shown of it, if it can be used: a row is read once.
type Rows = BTreeMap<String, (i64, Option<Shown>)>;

impl Acme {
    /// Reads what certificates there are and shows them by `certificates`. Makes the tables if this is the first time.
    ///
    /// # Errors
    /// [`AcmeError`]: also where the database is sealed under a key that this process has not.
    pub async fn load(mut options: Options, certificates: Certificates) -> Result<Acme, AcmeError> {
        options.hosts.iter_mut().for_each(|host| host.make_ascii_lowercase());
        check(&options)?;
        options.database.use_owners(&[SCHEMA.owner]).await?;
        options.secrets.prepare(&options.database).await?;
        let acme = Acme { options, certificates, seen: Mutex::default() };
        acme.see().await?;
        Ok(acme)
    }

    /// Orders what is absent or has little time left, and shows what other nodes ordered, until the future is dropped.
    pub async fn run(self) {
        loop {
            match self.see().await {
                Ok(seen) => self.order_one(seen).await,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "can not look for certificates; those that are known stay"
                    );
                    sleep(PAUSE_WITHOUT_DATABASE).await;
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) fn challenge(&self) -> Challenge {
        self.options.challenge
    }

    /// Has all nodes show what the authority wants to see.
    pub(crate) async fn ask(&self, asked: Asked) -> Result<(), AcmeError> {
        let step = steps::Ask { for_ms: milliseconds(ORDER_WITHIN) };
        self.write("keep an ACME challenge", step, asked).await
    }

    /// Looks at the database, and shows what is there.
    pub(crate) async fn see(&self) -> Result<Seen, AcmeError> {
        let directory = self.options.directory.clone();
        let seen = self.options.database.read("look for certificates", steps::Look, directory).await?;
        self.certificates.show(seen.challenges.clone())?;
        self.show(&seen.certificates).await?;
        Ok(seen)
    }

    async fn show(&self, known: &[Known]) -> Result<(), AcmeError> {
        let mut seen = self.seen.lock().await;
        let is_wanted = |known: &&Known| self.options.hosts.contains(&known.host);
        let mut has_changed = false;
        for known in known.iter().filter(is_wanted) {
            if seen.get(&known.host).is_some_and(|(id, _)| *id == known.id) {
                continue;
            }
            let read = match self.read(known).await {
                Err(AcmeError::Database(error)) => return Err(error.into()),
                read => read,
            };
            // One that can not be used is ordered anew, and keeps no other away.
            let shown = read.unwrap_or_else(|error| {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the certificate of {} can not be used", known.host);
                None
            });
            seen.insert(known.host.clone(), (known.id, shown));
            has_changed = true;
        }
        if has_changed {
            let usable = seen.iter().filter_map(|(host, (_, one))| Some((host.clone(), one.clone()?)));
            self.certificates.put(usable.collect(), self.options.hosts.first().map_or("", String::as_str));
        }
        Ok(())
    }

    async fn read(&self, known: &Known) -> Result<Option<Shown>, AcmeError> {
        let found = self.options.database.read("read a certificate", steps::Read, known.id).await?;
        let Some((chain, sealed)) = found else { return Ok(None) };
        let key = self.options.secrets.open(&place("acme_certificates", "key", known.id), &sealed)?;
        let key = Zeroizing::new(String::from_utf8_lossy(&key).into_owned());
        Ok(Some(Shown { certified: certified(&chain, &key)?, not_after_ms: known.not_after_ms }))
    }

    /// Orders the certificate of the first host that wants one, if no node does.
    async fn order_one(&self, seen: Seen) {
        let now_ms = now_ms();
        let taken: BTreeSet<&String> = seen.taken.iter().collect();
        let usable = self.certificates.hosts();
        let is_good = |host: &String| {
            let mut known = seen.certificates.iter().filter(|known| known.host == *host);
            usable.contains(host) && known.any(|known| !is_due(known, now_ms))
        };
        let mut wanted = self.options.hosts.iter().filter(|host| !taken.contains(host) && !is_good(host));
        let Some(host) = wanted.next() else { return };
        let claim = steps::Claim { for_ms: milliseconds(ORDER_WITHIN) };
        match self.write("claim the order of a certificate", claim, host.clone()).await {
            Ok(true) => self.order(host).await,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "can not order a certificate")
            }
        }
    }

    async fn order(&self, host: &str) {
        tracing::info!("orders a certificate for {host} from {}", self.options.directory);
        let late = || AcmeError::Late(ORDER_WITHIN.as_secs());
        let done = timeout(ORDER_WITHIN, self.try_order(host)).await.unwrap_or_else(|_| Err(late()));
        let Err(error) = done else { return };
        let (first, longest) = self.options.pause;
        let fail = steps::Fail { pause_ms: (milliseconds(first), milliseconds(longest)) };
        let pause_ms = self.write("end the order of a certificate", fail, host.to_owned()).await;
        let pause_secs = pause_ms.map_or(ORDER_WITHIN.as_secs(), |pause_ms| pause_ms.unsigned_abs() / 1000);
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "got no certificate for {host}; tries again in {pause_secs} s"
        );
    }

    async fn try_order(&self, host: &str) -> Result<(), AcmeError> {
        let account = self.account().await?;
        let issued = order(self, &account, host).await;
        if let Err(AcmeError::Authority(instant_acme::Error::Api(problem))) = &issued
            && problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT)
        {
            // The next try makes another one.
            self.write("forget an ACME account", steps::RemoveAccount, self.options.directory.clone())
                .await?;
        }
        let Issued { chain, key } = issued?;
        certified(&chain, &key)?;
        let (not_before_ms, not_after_ms) = validity(&chain)?;
        let id = fastrand::i64(1..);
        let sealed = self.options.secrets.seal(&place("acme_certificates", "key", id), key.as_bytes())?;
        let known = Known { id, host: host.to_owned(), not_before_ms, not_after_ms };
        let new = New { known, directory: self.options.directory.clone(), chain, key: sealed };
        self.write("keep a certificate", steps::Keep, new).await?;
        tracing::info!("got a certificate for {host}, good until {}", shown_time(not_after_ms));
        self.see().await.map(drop)
    }

    /// The account with the authority, made if there is none.
    async fn account(&self) -> Result<Account, AcmeError> {
        let directory = self.options.directory.clone();
        let found = self.options.database.read("find an ACME account", steps::Account, directory).await?;
        let Some((id, sealed)) = found else { return self.new_account().await };
        let text = self.options.secrets.open(&place("acme_accounts", "credentials", id), &sealed);
        let credentials = text.ok().and_then(|text| serde_json::from_slice::<AccountCredentials>(&text).ok());
        match credentials {
            Some(credentials) => Ok(self.builder().from_credentials(credentials).await?),
            // Of a key that is lost, an account is lost as well, and a new one costs nothing.
            None => {
                self.write("forget an ACME account", steps::RemoveAccount, self.options.directory.clone())
                    .await?;
                self.new_account().await
            }
        }
    }

    async fn new_account(&self) -> Result<Account, AcmeError> {
        let contact = self.options.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let directory = self.options.directory.clone();
        let (account, credentials) = self.builder().create(&new, directory.clone(), None).await?;
        let text =
            serde_json::to_vec(&credentials).map_err(|error| AcmeError::Certificate(error.to_string()))?;
        let text = Zeroizing::new(text);
        let id = fastrand::i64(1..);
        let sealed = self.options.secrets.seal(&place("acme_accounts", "credentials", id), &text)?;
        self.write("keep an ACME account", steps::AddAccount, (id, directory, sealed)).await?;
        Ok(account)
    }

    fn builder(&self) -> instant_acme::AccountBuilder {
        Account::builder_with_http(Box::new(ToAuthority(self.options.outbound.operators().clone())))
    }

    async fn write<T: AnyStep>(
        &self,
        operation: &'static str,
        step: T,
        of: T::Of,
    ) -> Result<T::Output, AcmeError>
    where
        T::Of: Send + 'static,
    {
        Ok(self.options.database.write(operation, step, of).await?)
    }
}

fn check(options: &Options) -> Result<(), AcmeError> {
    let hosts = &options.hosts;
    if hosts.is_empty() || hosts.len() > HOSTS_MAX {
        return Err(AcmeError::Hosts(hosts.len()));
    }
    if let Some(host) = hosts.iter().find(|host| !is_host(host)) {
        return Err(AcmeError::Host(host.clone()));
    }
    options.directory.parse::<Destination>().map(drop).map_err(AcmeError::Directory)
}

/// Whether an authority may give a certificate for it: a name of DNS with a dot, no address.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_a_name =
        host.rsplit('.').next().is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
    host.len() <= HOST_BYTES_MAX && host.contains('.') && host.split('.').all(is_label) && last_is_a_name
}

/// Whether less than a part of its time is left.
fn is_due(known: &Known, now_ms: i64) -> bool {
    let lifetime_ms = known.not_after_ms.saturating_sub(known.not_before_ms);
    now_ms >= known.not_after_ms.saturating_sub(lifetime_ms / RENEW_AT)
}

fn place(table: &'static str, column: &'static str, row: i64) -> Place {
    Place { table, column, row }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    milliseconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// The day, for the log.
fn shown_time(ms: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(ms / 1000);
    time.map_or_else(|_| "?".to_owned(), |time| time.date().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_with_a_dot() {
        for host in ["registry.example.com", "a.b", "xn--bcher-kva.example", "1.example", "a-b.example"] {
            assert!(is_host(host), "{host}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for host in [
            "",
            "localhost",
            "10.0.0.1",
            "*.example.com",
            "a..b",
            "a.b:443",
            "-a.example",
            ".a",
            "a.",
            "a_b.c",
            &long,
            "ä.example",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn a_certificate_is_due_in_its_last_third() {
        let known = |from: i64, until: i64| Known {
            id: 1,
            host: String::new(),
            not_before_ms: from,
            not_after_ms: until,
        };
        assert!(!is_due(&known(0, 90), 59));
        assert!(is_due(&known(0, 90), 60));
        assert!(is_due(&known(0, 90), 1000));
    }
}
