//! Certificates of servers and of clients.

use super::*;

#[tokio::test]
async fn a_changed_certificate_is_shown_to_new_connections_only() {
    let options = ServerOptions::new();
    let [first, second] = ["first", "second"].map(|name| {
        selfsigned::find_or_make(&options.folder().join(name), &["localhost".to_owned()]).unwrap()
    });
    let (certificate, key) = (options.folder().join("server.crt"), options.folder().join("server.key"));
    let install = |made: &selfsigned::SelfSigned| {
        fs::copy(&made.key, &key).unwrap();
        fs::copy(&made.certificate, &certificate).unwrap();
    };
    install(&first);
    let config = format!(
        "version: 0.1\nhttp: {{tls: {{certificate: {}, key: {}}}}}\n",
        certificate.display(),
        key.display()
    );
    let server = options.clone().config(&config).start().await;
    let old = client_of(&server, &first.authority);
    old.get("/v2/").expect(200).await;

    install(&second);
    let new = client_of(&server, &second.authority);
    eventually("the new certificate is shown", async || new.reconnected().get("/v2/").send().await.ok())
        .await;
    // This one goes on where it is: it could not connect again, since it does not trust the new certificate.
    let image = Image::random(3);
    old.push("app", "latest", &image).await.unwrap();
    assert!(old.reconnected().get("/v2/").send().await.is_err());

    // What can not be used is not used.
    fs::write(&certificate, "not a certificate").unwrap();
    eventually("the registry looks at the file", async || {
        new.reconnected().get("/v2/").expect(200).await;
        server.log().text().contains("kept the certificate").then_some(())
    })
    .await;
    new.reconnected().pull("app", "latest", &image).await.unwrap();
}

#[tokio::test]
async fn clients_may_have_to_show_a_certificate() {
    let options = ServerOptions::new();
    let made = selfsigned::find_or_make(&options.folder().join("tls"), &["localhost".to_owned()]).unwrap();
    let (authority, ours) = authority_and_client("our clients");
    let (_, others) = authority_and_client("somebody else's clients");
    let authorities = options.folder().join("clients.crt");
    fs::write(&authorities, authority).unwrap();
    let config = |mode: &str| {
        format!(
            "version: 0.1\nhttp: {{tls: {{certificate: {}, key: {}, clientcas: [{}], clientauth: {mode}}}}}\n",
            made.certificate.display(),
            made.key.display(),
            authorities.display()
        )
    };
    // With every client known, an address on the network needs no passwords.
    let everywhere = options.variable("REGISTRY_HTTP_ADDR", "0.0.0.0:0");
    let strict = everywhere.clone().config(&config("require-and-verify-client-cert")).start().await;
    let client = client_of(&strict, &made.authority);
    assert!(client.get("/v2/").send().await.is_err());
    // The client is told nothing that helps; the operator is.
    let refusal =
        "refused the client certificate of 127.0.0.1: it sent none, and `http.tls.clientauth` asks for one";
    strict.log().wait_for(refusal).await;
    assert!(
        client.clone().presenting(others.0.as_bytes(), others.1.as_bytes()).get("/v2/").send().await.is_err()
    );
    let known = client.presenting(ours.0.as_bytes(), ours.1.as_bytes());
    let image = Image::random(6);
    known.push("app", "latest", &image).await.unwrap();
    known.pull("app", "latest", &image).await.unwrap();
    drop(strict);

    let lenient = everywhere.variable("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    let lenient = lenient.config(&config("verify-client-cert-if-given")).start().await;
    let client = client_of(&lenient, &made.authority);
    client.get("/v2/").expect(200).await;
    assert!(
        client.clone().presenting(others.0.as_bytes(), others.1.as_bytes()).get("/v2/").send().await.is_err()
    );
    lenient.log().wait_for("refused the client certificate of 127.0.0.1: ").await;
    let log = lenient.log().text();
    let line = log.lines().find(|line| line.contains("refused the client certificate")).unwrap();
    assert!(line.contains("level=warn") && line.contains("http.tls.clientcas"), "{line}");
    client.presenting(ours.0.as_bytes(), ours.1.as_bytes()).get("/v2/").expect(200).await;
}

/// The certificate of a new authority, and certificate and key of a client that it vouches for; all in PEM form.
fn authority_and_client(name: &str) -> (String, (String, String)) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, name);
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let mut client = rcgen::CertificateParams::new(Vec::new()).unwrap();
    client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = rcgen::KeyPair::generate().unwrap();
    let client_pem = client.signed_by(&client_key, &issuer).unwrap().pem();
    (authority_pem, (client_pem, client_key.serialize_pem()))
}

#[tokio::test]
async fn plain_http_on_the_port_for_tls_is_told_what_is_spoken_there() {
    let server = ServerOptions::new().variable("REGISTRY_HTTP_TLS_SELFSIGNED", "true").start().await;
    for request in ["GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "x"] {
        let mut connection = RawConnection::open(server.address()).await.unwrap();
        connection.send(request).await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.status, 400, "{request:?}");
        assert!(answer.is_last());
        assert!(String::from_utf8_lossy(&answer.body).contains("this port speaks HTTPS"));
        assert!(connection.rest().await.is_empty());
    }
    // Also one that sends much before it reads.
    let mut connection = RawConnection::open(server.address()).await.unwrap();
    connection.send("PUT /v2/ HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n\r\n").await.unwrap();
    for _ in 0..20 {
        connection.send(vec![b'x'; 1_000_000]).await.unwrap();
    }
    assert_eq!(connection.answer().await.unwrap().status, 400);
    let authority = authority_in_log(&server).await;
    client_of(&server, &authority).get("/v2/").expect(200).await;
}
