use std::fs;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;
use crate::access::Access;
use crate::authenticator::Why;

/// The least that bcrypt has, so that tests are quick.
const COST: u32 = 4;

pub(super) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    pub(super) fn new(content: &str) -> Fixture {
        let fixture = Fixture { folder: TempDir::new().unwrap() };
        fixture.write(content);
        fixture
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("htpasswd")
    }

    /// Writes in place.
    fn write(&self, content: &str) {
        fs::write(self.path(), content).unwrap();
    }

    /// Looks at the file at each request.
    pub(super) fn options(&self) -> HtpasswdOptions {
        HtpasswdOptions { reload_interval: Duration::ZERO, ..HtpasswdOptions::new("Registry", self.path()) }
    }

    pub(super) async fn open(&self) -> Htpasswd {
        Htpasswd::open(self.options()).await.unwrap()
    }
}

pub(super) fn line(user: &str, password: &str) -> String {
    make_htpasswd_line(user, password, COST).unwrap() + "\n"
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    HeaderValue::from_str(&format!("Basic {encoded}")).unwrap()
}

async fn login(users: &Htpasswd, user: &str, password: &str) -> Result<String, AuthenticationError> {
    login_from(users, "127.0.0.1", user, password).await
}

pub(super) async fn login_from(
    users: &Htpasswd,
    address: &str,
    user: &str,
    password: &str,
) -> Result<String, AuthenticationError> {
    let header = basic(user, password);
    let presented = Presented::new(Some(&header)).from_address(Some(address.parse().unwrap()));
    Ok(users.authenticate(presented).await?.to_string())
}

pub(super) async fn is_let_in(users: &Htpasswd, user: &str, password: &str) -> bool {
    match login(users, user, password).await {
        Ok(_) => true,
        Err(AuthenticationError::Invalid) => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn users_are_let_in_with_their_password_and_no_other() {
    let fixture = Fixture::new(&format!("# users\n\n{}  {}", line("ada", "secret"), line("bob", "")));
    let users = fixture.open().await;
    for _ in 0..2 {
        assert_eq!(login(&users, "ada", "secret").await.unwrap(), "ada");
        assert!(is_let_in(&users, "bob", "").await);
        for (user, password) in [
            ("ada", "Secret"),
            ("ada", ""),
            ("Ada", "secret"),
            ("bob", "secret"),
            ("eve", "secret"),
            ("", "secret"),
        ] {
            assert!(!is_let_in(&users, user, password).await, "{user} {password}");
        }
    }
}

#[tokio::test]
async fn headers_of_other_kinds_are_told_apart() {
    let users = Fixture::new(&line("ada", "secret")).open().await;
    assert_eq!(users.authenticate(Presented::default()).await.unwrap(), Caller::anonymous());
    let header = |text| Some(HeaderValue::from_static(text));
    let authenticate = async |text| users.authenticate(Presented::new(header(text).as_ref())).await;
    assert_eq!(authenticate("Basic Og==").await.unwrap(), Caller::anonymous());
    assert!(matches!(authenticate("Bearer x").await, Err(AuthenticationError::Invalid)));
    assert!(matches!(authenticate("Digest x").await, Err(AuthenticationError::Invalid)));
    assert!(matches!(authenticate("Basic ?").await, Err(AuthenticationError::Malformed { .. })));
}

#[tokio::test]
async fn the_challenge_names_the_realm() {
    let fixture = Fixture::new("");
    for (realm, expected) in [
        ("Registry", r#"Basic realm="Registry""#),
        (r#"The "best" \o/"#, r#"Basic realm="The \"best\" \\o/""#),
        ("", r#"Basic realm="""#),
    ] {
        let options = HtpasswdOptions { realm: realm.into(), ..fixture.options() };
        let users = Htpasswd::open(options).await.unwrap();
        let refused = Refused::new(&Access::Base, Why::NoCredentials);
        assert_eq!(users.challenge(&refused).unwrap(), expected);
    }
    let options = HtpasswdOptions { realm: "a\nb".into(), ..fixture.options() };
    assert!(matches!(Htpasswd::open(options).await, Err(HtpasswdError::Realm { .. })));
}

#[test]
fn files_are_read_as_the_go_registry_reads_them() {
    let parse = |content: &[u8]| file::Users::parse(content, Path::new("f"));
    let hash = line("x", "pw").trim().split_once(':').unwrap().1.to_owned();
    for (name, content, unusable) in [
        ("empty", String::new(), vec![]),
        ("comments and blanks", "# a\n\n  \n\t# b\r\n".to_owned(), vec![]),
        ("ends of lines of Windows", format!("ada:{hash}\r\nbob:{hash}\r\n"), vec![]),
        ("a byte order mark", format!("\u{feff}ada:{hash}\r\n"), vec![]),
        ("a byte order mark before a comment", format!("\u{feff}# users\r\nada:{hash}"), vec![]),
        ("no end of line", format!("ada:{hash}"), vec![]),
        ("apache's MD5", "ada:$apr1$abc$def".to_owned(), vec![1]),
        ("SHA-1, plain text, nothing", "a:{SHA}x\nb:plain\nc:\n".to_owned(), vec![1, 2, 3]),
        ("bcrypt cut short", format!("ada:{}", &hash[..59]), vec![1]),
        ("another bcrypt", format!("ada:{}", hash.replacen("$2y", "$2x", 1)), vec![1]),
        ("too costly", format!("\nada:{}", hash.replacen("$04$", "$17$", 1)), vec![2]),
        ("too cheap", format!("ada:{}", hash.replacen("$04$", "$03$", 1)), vec![1]),
        ("not bcrypt's letters", format!("ada:{}!", &hash[..59]), vec![1]),
        ("not ASCII", format!("ada:{}\u{e4}", &hash[..58]), vec![1]),
    ] {
        assert_eq!(parse(content.as_bytes()).unwrap().unusable_lines(), unusable, "{name}");
    }
    let marked = format!("\u{feff}ada:{hash}\r\n");
    assert!(parse(marked.as_bytes()).unwrap().verify("ada", b"pw", 0), "the mark is no part of the name");
    for version in ["$2a$", "$2b$", "$2y$"] {
        let content = format!("ada:{}", hash.replacen("$2y$", version, 1));
        assert!(parse(content.as_bytes()).unwrap().verify("ada", b"pw", 0), "{version}");
    }
    let two = format!("ada:$apr1$x\n{}{}", line("ada", "old"), line("ada", "new"));
    let users = parse(two.as_bytes()).unwrap();
    assert!(users.verify("ada", b"new", 0) && !users.verify("ada", b"old", 0), "the last line counts");
}

#[test]
fn lines_that_are_no_lines_of_such_a_file_are_named() {
    let error = |content: &[u8]| file::Users::parse(content, Path::new("/f")).unwrap_err().to_string();
    assert_eq!(error(b"a:b\nada"), "line 2 of the password file /f is not `user:hash`");
    assert_eq!(error(b"\n:hash"), "line 2 of the password file /f does not begin with a user's name");
    assert_eq!(error(b"\xff:hash"), "line 1 of the password file /f is not UTF-8");
}

#[tokio::test]
async fn a_changed_file_counts_at_once_also_for_remembered_credentials() {
    let fixture = Fixture::new(&line("ada", "old"));
    let users = fixture.open().await;
    assert!(is_let_in(&users, "ada", "old").await);
    fixture.write(&line("ada", "new"));
    assert!(!is_let_in(&users, "ada", "old").await);
    assert!(is_let_in(&users, "ada", "new").await);

    // As editors do it: another file takes the place.
    let other = fixture.folder.path().join("other");
    fs::write(&other, line("bob", "pw")).unwrap();
    fs::rename(&other, fixture.path()).unwrap();
    assert!(!is_let_in(&users, "ada", "new").await);
    assert!(is_let_in(&users, "bob", "pw").await);
}

#[tokio::test]
async fn a_broken_or_missing_file_leaves_the_users_as_they_were() {
    let fixture = Fixture::new(&line("ada", "pw"));
    let users = fixture.open().await;
    fixture.write("no colon here");
    assert!(is_let_in(&users, "ada", "pw").await);
    fs::remove_file(fixture.path()).unwrap();
    assert!(is_let_in(&users, "ada", "pw").await);
    fixture.write(&line("bob", "pw"));
    assert!(!is_let_in(&users, "ada", "pw").await);
    assert!(is_let_in(&users, "bob", "pw").await);
}

#[tokio::test]
async fn a_removal_counts_also_while_another_line_is_broken() {
    let fixture = Fixture::new(&[line("ada", "pw"), line("bob", "pw"), line("cat", "pw")].concat());
    let users = fixture.open().await;
    for user in ["ada", "bob", "cat"] {
        assert!(is_let_in(&users, user, "pw").await);
    }
    assert_eq!(users.stale().await, None);
    // Of one the line is gone, of one it is broken, one has another password, and one is new.
    fixture.write(&["bob\n", &line("cat", "new"), &line("dan", "pw")].concat());
    for user in ["ada", "bob", "cat"] {
        assert!(!is_let_in(&users, user, "pw").await, "{user}");
    }
    assert!(is_let_in(&users, "cat", "new").await && is_let_in(&users, "dan", "pw").await);
    let stale = users.stale().await.unwrap();
    assert!(stale.is_partial && stale.reason.starts_with("line 1 of the password file"), "{stale:?}");
    fixture.write(&line("ada", "pw"));
    assert!(is_let_in(&users, "ada", "pw").await);
    assert_eq!(users.stale().await, None);
}

#[tokio::test]
async fn a_start_needs_one_line_that_can_be_read() {
    let fixture = Fixture::new(&["bob\n", &line("ada", "pw")].concat());
    let users = fixture.open().await;
    assert!(is_let_in(&users, "ada", "pw").await && !is_let_in(&users, "bob", "pw").await);
    let stale = users.stale().await.unwrap();
    assert!(stale.is_partial && stale.reason.starts_with("line 1 of the password file"), "{stale:?}");
    fixture.write("bob\n");
    assert!(matches!(Htpasswd::open(fixture.options()).await, Err(HtpasswdError::NoColon { .. })));
    fixture.write("# no user yet\n");
    assert!(Htpasswd::open(fixture.options()).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_of_until_it_is_back() {
    let fixture = Fixture::new(&line("ada", "pw"));
    let users = fixture.open().await;
    fs::remove_file(fixture.path()).unwrap();
    let stale = users.stale().await.unwrap();
    assert!(!stale.is_partial && stale.reason.starts_with("there is no password file"), "{stale:?}");
    fixture.write("no line of a user");
    let later = users.stale().await.unwrap();
    assert!(!later.is_partial && later.age >= stale.age, "the whole time counts: {later:?}");
    assert!(is_let_in(&users, "ada", "pw").await);
    fixture.write(&line("ada", "pw"));
    assert_eq!(users.stale().await, None);
}

#[tokio::test]
async fn the_file_is_not_looked_at_more_often_than_said() {
    let fixture = Fixture::new(&line("ada", "pw"));
    let options = HtpasswdOptions { reload_interval: Duration::from_secs(3600), ..fixture.options() };
    let users = Htpasswd::open(options).await.unwrap();
    fixture.write("");
    assert!(is_let_in(&users, "ada", "pw").await);
    assert!(!users.shared.watched.is_due(Instant::now()));
    let later = Instant::now() + Duration::from_secs(3601);
    assert!(users.shared.watched.is_due(later));
    assert!(!users.shared.watched.is_due(later), "one looks, the others go on");
}

#[tokio::test]
async fn a_missing_file_is_an_error_or_made() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    let options = || HtpasswdOptions::new("r", &path);
    let error = Htpasswd::open(options()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("there is no password file {}", path.display()));

    let (users, first) = Htpasswd::open_or_create(options()).await.unwrap();
    let (user, beside) = first.unwrap();
    assert_eq!(beside, folder.path().join("users.first-user"));
    let line = fs::read_to_string(&beside).unwrap();
    let (named, password) = line.trim_end().split_once(':').unwrap();
    assert_eq!((user.as_str(), named, password.len()), ("docker", "docker", 43));
    assert!(is_let_in(&users, &user, password).await);
    #[cfg(all(unix, not(portable)))]
    for path in [&path, &beside] {
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777, 0o600);
    }
    let (again, first) = Htpasswd::open_or_create(options()).await.unwrap();
    assert_eq!(first, None);
    assert!(is_let_in(&again, &user, password).await);

    let nowhere = HtpasswdOptions::new("r", folder.path().join("no/users"));
    assert!(matches!(Htpasswd::open_or_create(nowhere).await, Err(HtpasswdError::Create { .. })));
    let a_folder = HtpasswdOptions::new("r", folder.path());
    assert!(matches!(Htpasswd::open(a_folder).await, Err(HtpasswdError::Read { .. })));
}

#[tokio::test]
async fn files_of_other_systems_editors_are_read() {
    let content = format!("\u{feff}{}\r\n# a comment\r\n", line("ada", "pw").trim_end());
    let users = Fixture::new(&content).open().await;
    assert!(is_let_in(&users, "ada", "pw").await);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused() {
    let fixture = Fixture::new("");
    let mut file = fs::File::create(fixture.path()).unwrap();
    file.write_all(&vec![b'\n'; HTPASSWD_BYTES_MAX + 1]).unwrap();
    assert!(matches!(Htpasswd::open(fixture.options()).await, Err(HtpasswdError::TooLarge { .. })));
}

#[test]
fn lines_can_be_made() {
    assert!(line("ada", "pw").starts_with("ada:$2y$04$"));
    let error = |user: &str, password: &str, cost| make_htpasswd_line(user, password, cost).unwrap_err();
    assert!(matches!(error("", "pw", COST), HtpasswdError::UserName { .. }));
    assert!(matches!(error("a:b", "pw", COST), HtpasswdError::UserName { .. }));
    assert!(matches!(error("#ada", "pw", COST), HtpasswdError::UserMisread { .. }));
    assert!(matches!(error(" ada", "pw", COST), HtpasswdError::UserMisread { .. }));
    assert!(matches!(error("ada", "pw", 3), HtpasswdError::Cost { cost: 3 }));
    assert!(matches!(error("ada", "pw", 17), HtpasswdError::Cost { cost: 17 }));
    let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
    assert!(matches!(error("ada", &long, COST), HtpasswdError::PasswordTooLong { actual_bytes: 73 }));
    assert!(make_htpasswd_line("ada", &long[1..], COST).is_ok());
}

#[test]
fn nobody_is_as_costly_as_somebody() {
    let cost = |users: &file::Users, user: &str, choice| {
        let hash = users.compared_with(user, choice);
        hash.parse::<bcrypt::HashParts>().expect("a whole hash is computed").get_cost()
    };
    let parse = |content: &str| file::Users::parse(content.as_bytes(), Path::new("f")).unwrap();
    let make = |user, cost| make_htpasswd_line(user, "pw", cost).unwrap();
    let users = parse(&format!("{}\nmd5:$apr1$x\n{}\n", make("ada", 5), make("bob", 6)));
    assert_eq!((cost(&users, "ada", 0), cost(&users, "bob", 0)), (5, 6));
    for nobody in ["eve", "md5", ""] {
        assert_eq!([0, 1, 2, 3].map(|choice| cost(&users, nobody, choice)), [5, 6, 5, 6], "{nobody}");
    }
    assert_eq!(cost(&parse(""), "eve", 7), 10);
}

#[tokio::test]
async fn what_bcrypt_would_not_read_whole_is_nobodys_password() {
    let whole = "x".repeat(PASSWORD_BYTES_MAX);
    let fixture = Fixture::new(&(line("ada", "pw") + &line("bob", &whole)));
    let users = fixture.open().await;
    assert!(is_let_in(&users, "ada", "pw").await && is_let_in(&users, "bob", &whole).await);
    for (user, password) in [
        ("ada", "pw\0".to_owned()),
        ("ada", "pw\0pw".to_owned()),
        ("ada", "\0".to_owned()),
        ("bob", format!("{whole}y")),
        ("bob", whole.clone() + &"y".repeat(2000)),
    ] {
        // More often than guesses are allowed: they are none.
        for _ in 0..5 {
            assert!(!is_let_in(&users, user, &password).await, "{user} {password:?}");
        }
    }
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let content = line("ada", "pw");
    let users = Fixture::new(&content).open().await;
    let hash = content.trim().split_once(':').unwrap().1;
    assert!(!format!("{users:?} {:?}", users.shared.watched.users()).contains(hash));
}
