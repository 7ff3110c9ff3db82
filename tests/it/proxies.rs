//! What a proxy may say of a client. From which peers it counts for URLs is tested beside the code: all peers here are loopback.

use registry_testing::{RawConnection, Server, ServerOptions};

async fn ask(server: &Server, path: &str, headers: &str) {
    let mut connection = RawConnection::open(server.address()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    connection.send(head).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 404, "{path}");
}

#[tokio::test]
async fn the_access_log_names_the_client_as_far_as_trusted_proxies_tell() {
    let trusting = "version: 0.1\nhttp: {trustedproxies: [127.0.0.0/8, 10.0.0.0/8]}\n";
    let cases: [(&str, &str, &str); 8] = [
        ("x-forwarded-for: 198.51.100.7\r\n", "127.0.0.1", "198.51.100.7"),
        ("x-forwarded-for: 6.6.6.6, 198.51.100.7, 10.0.0.2\r\n", "127.0.0.1", "198.51.100.7"),
        ("x-forwarded-for: 6.6.6.6\r\nx-forwarded-for: 198.51.100.7\r\n", "127.0.0.1", "198.51.100.7"),
        ("forwarded: for=6.6.6.6, for=\"[2001:db8::7]:99\"\r\n", "127.0.0.1", "2001:db8::7"),
        ("forwarded: for=6.6.6.6\r\nx-forwarded-for: 198.51.100.7\r\n", "127.0.0.1", "198.51.100.7"),
        ("x-real-ip: 198.51.100.7\r\n", "127.0.0.1", "198.51.100.7"),
        ("x-forwarded-for: nonsense\r\n", "127.0.0.1", "127.0.0.1"),
        ("", "127.0.0.1", "127.0.0.1"),
    ];
    for (config, trusts) in [("version: 0.1\n", false), (trusting, true)] {
        let server = ServerOptions::new().config(config).start().await;
        for (number, (headers, distrusting, trusting)) in cases.into_iter().enumerate() {
            let path = format!("/v2/case-{number}/tags/list");
            ask(&server, &path, headers).await;
            server.access_log().wait_for(&path).await;
            let log = server.access_log().text();
            let line = log.lines().find(|line| line.contains(&path)).unwrap();
            let expected = if trusts { trusting } else { distrusting };
            assert!(line.starts_with(&format!("{expected} - - [")), "{headers:?}: {line}");
        }
    }
}
