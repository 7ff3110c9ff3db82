//! The way to the database is encrypted as its URL asks for.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry_core::metadata::{Options, PostgresOptions, PostgresStore, traits::*};
use registry_testing_postgres::PostgresServer;

/// A server whose certificate names `localhost` and not `127.0.0.1`, and the file of its authority.
fn server(folder: &Path) -> (PostgresServer, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();

    let root = folder.join("root.crt");
    fs::write(&root, authority.pem()).unwrap();
    let (certificate_file, key_file) = (folder.join("server.crt"), folder.join("server.key"));
    fs::write(&certificate_file, certificate.pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    PostgresServer::give_files(&[folder, &certificate_file, &key_file]);
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = [
        ("ssl", "on"),
        ("ssl_cert_file", certificate_file.to_str().unwrap()),
        ("ssl_key_file", key_file.to_str().unwrap()),
    ];
    (PostgresServer::start_with(&settings), root.display().to_string())
}

async fn is_encrypted(server: &PostgresServer, host: &str, query: &str) -> Result<bool, String> {
    let url = server.url("postgres").replace("127.0.0.1", host);
    let options: PostgresOptions = format!("{url}?application_name=tls&{query}").parse().unwrap();
    let opened = PostgresStore::open(&options, Options::default()).await;
    let store = opened.map_err(|error| format!("{error:?}"))?;
    store.check().await.unwrap();
    let used = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'tls'";
    Ok(server.sql("postgres", used) == "t")
}

#[tokio::test]
async fn modes_do_what_they_are_known_for() {
    let folder = tempfile::tempdir().unwrap();
    let (server, root) = server(folder.path());
    let rooted = |mode: &str| format!("sslmode={mode}&sslrootcert={root}");
    for (host, query, expected) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), Ok(false)),
        ("127.0.0.1", "sslmode=prefer".to_owned(), Ok(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        ("127.0.0.1", rooted("require"), Ok(true)),
        ("127.0.0.1", rooted("verify-ca"), Ok(true)),
        ("127.0.0.1", rooted("verify-full"), Err("NotValidForName")),
        ("localhost", rooted("verify-full"), Ok(true)),
        ("localhost", "sslmode=verify-full&sslrootcert=system".to_owned(), Err("UnknownIssuer")),
        ("localhost", "sslmode=verify-ca".to_owned(), Err("UnknownIssuer")),
    ] {
        let found = is_encrypted(&server, host, &query).await;
        match (&found, &expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{host} {query}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{host} {query}: {found}"),
            _ => panic!("{host} {query}: {found:?}"),
        }
    }
}
