use rustls::crypto::ring::default_provider;
use tempfile::TempDir;

use super::*;

/// ECDSA on P-521, which is not among what can be used.
const P521: &str = "\
-----BEGIN PRIVATE KEY-----
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIA5z0BV+jjSRejIh7+
epJLR5GhwGqfozKMLCY83nN6yELBzg89dlNS1yQA8IrgyFV54MdaCimswiL3xwV7
eYnvdluhgYkDgYYABADlPGoQ/ZUvYxnGqppkYSFRy9UTQQYumrPtenMdkJ+oaC/N
3G2Yxf+3Rqrb2x8mp8Ed1br6V/ziJfK7iBr15durMQEFIb4Lr5iQelN/6ZKCBbDe
86xmBXizanC6cTeBSU33Y6eHUktTObGgOJrln/swLWC65ZNefw/ZFuJ1He3n9WKW
wA==
-----END PRIVATE KEY-----
";

fn text(error: &TlsError) -> String {
    error.to_string()
}

fn fixture() -> (TempDir, String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (TempDir::new().unwrap(), made.cert.pem(), made.signing_key.serialize_pem())
}

fn nothing(_: &Path, _: &std::io::Error) -> String {
    String::new()
}

#[test]
fn files_of_other_systems_editors_are_read() {
    let (folder, certificate, private_key) = fixture();
    let path = folder.path().join("file.pem");
    for (mark, line_break) in [("\u{feff}", "\n"), ("\u{feff}", "\r\n"), ("", "\r\n"), ("", "\n")] {
        let write = |text: &str| {
            // rcgen's line breaks are those of the system.
            let lines: Vec<&str> = text.lines().collect();
            fs::write(&path, format!("{mark}{}{line_break}", lines.join(line_break))).unwrap();
        };
        write(&certificate);
        assert_eq!(certificates(&path, nothing).unwrap().len(), 1, "{mark:?} {line_break:?}");
        write(&private_key);
        key(&path, &default_provider(), nothing)
            .unwrap_or_else(|error| panic!("{mark:?} {line_break:?}: {error}"));
    }
}

#[test]
fn what_is_no_key_is_named() {
    let (folder, certificate, _) = fixture();
    let path = folder.path().join("server.key");
    let section = |name: &str| format!("-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
    let old_encryption = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                          -----END RSA PRIVATE KEY-----\n";
    for (content, named) in [
        (section("ENCRYPTED PRIVATE KEY"), "encrypted"),
        (old_encryption.to_owned(), "encrypted"),
        (section("OPENSSH PRIVATE KEY"), "OpenSSH"),
        (section("PUBLIC KEY"), "PUBLIC KEY"),
        (certificate, "CERTIFICATE"),
        (P521.to_owned(), "P-256"),
        (section("PRIVATE KEY"), "P-256"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n".to_owned(), "damaged"),
        (String::new(), "empty"),
        ("0\u{82}".to_owned(), "DER"),
        ("key: value\n".to_owned(), "not PEM"),
    ] {
        fs::write(&path, &content).unwrap();
        let error = text(&key(&path, &default_provider(), nothing).unwrap_err());
        assert!(error.contains(named), "{named} is not in: {error}");
        assert!(error.contains("server.key") && error.contains("private key"), "{error}");
    }
}

#[test]
fn what_is_no_certificate_is_named() {
    let (folder, _, private_key) = fixture();
    let path = folder.path().join("server.crt");
    for (content, named) in [(private_key.as_str(), "PRIVATE KEY"), ("", "empty"), ("0\u{82}", "openssl")] {
        fs::write(&path, content).unwrap();
        let error = text(&certificates(&path, nothing).unwrap_err());
        assert!(error.contains(named) && error.contains("server.crt"), "{named} is not in: {error}");
    }
}

#[test]
fn a_cause_is_told_once() {
    let path = Path::new("/no/such/file.pem");
    let error = certificates(path, nothing).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(!text(&error).contains(&cause), "{error} repeats {cause}");
}
