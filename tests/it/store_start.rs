//! What a start says about an object store that it can not open.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use registry_testing::ServerOptions;

/// A registry over a bucket at a port of this machine, with a key.
fn bucket_at(port: u16) -> ServerOptions {
    let options = ServerOptions::new();
    let database = options.folder().join("metadata.sqlite").display().to_string();
    options
        .without("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY")
        .variable("REGISTRY_STORAGE_S3_BUCKET", "images")
        .variable("REGISTRY_STORAGE_S3_REGIONENDPOINT", &format!("http://127.0.0.1:{port}"))
        .variable("REGISTRY_STORAGE_S3_ACCESSKEY", "id")
        .variable("REGISTRY_STORAGE_S3_SECRETKEY", "top-secret-word")
        .variable("REGISTRY_METADATA_SQLITE_PATH", &database)
}

/// Answers requests as long as the test runs: each with the answer of its number.
fn answer_all(
    listener: TcpListener,
    answer: impl Fn(usize) -> (&'static str, &'static str) + Send + 'static,
) {
    std::thread::spawn(move || {
        for (number, peer) in listener.incoming().enumerate() {
            let Ok(mut peer) = peer else { return };
            let _ = peer.read(&mut [0; 4096]);
            let (status, body) = answer(number);
            let length = body.len();
            let _ = write!(
                peer,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
}

const REFUSED: &str =
    "<Error><Code>InvalidAccessKeyId</Code><Message>The key is not known.</Message></Error>";

/// How often the client tries one request.
const ATTEMPTS: usize = 6;

#[tokio::test]
async fn a_store_that_comes_late_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = bucket_at(listener.local_addr().unwrap().port());
    answer_all(listener, |number| match number {
        0..=ATTEMPTS => ("503 Slow Down", "<Error><Code>SlowDown</Code></Error>"),
        _ => ("403 Forbidden", REFUSED),
    });
    let (exit, log) = options.try_start().await.unwrap_err();
    assert_eq!(exit.code(), Some(1));
    assert_eq!(log.matches("can not open the bucket `images`").count(), 2, "{log}");
    assert_eq!(
        log.lines().filter(|line| line.contains("yet: SlowDown; trying again for 30s")).count(),
        1,
        "{log}"
    );
    assert!(log.lines().last().unwrap().contains("InvalidAccessKeyId"), "{log}");
}

#[tokio::test]
async fn why_a_store_can_not_be_opened_is_one_sentence() {
    const MISSING: &str = "<Error><Code>NoSuchBucket</Code><Message>It is not there.</Message></Error>";
    for (status, body, said) in [
        ("403 Forbidden", REFUSED, ["InvalidAccessKeyId, The key is not known", "storage.s3.accesskey"]),
        ("404 Not Found", MISSING, ["there is no such bucket", "storage.s3.bucket"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        answer_all(listener, move |_| (status, body));
        let (exit, log) = bucket_at(port).try_start().await.unwrap_err();
        assert_eq!(exit.code(), Some(1));
        let line = log.lines().last().unwrap();
        let place = format!("can not open the bucket `images` at http://127.0.0.1:{port}");
        for part in [place.as_str(), said[0], said[1]] {
            assert_eq!(line.matches(part).count(), 1, "{part}: {line}");
        }
        assert!(!line.contains('<') && !log.contains("top-secret-word"), "{log}");
    }
}
