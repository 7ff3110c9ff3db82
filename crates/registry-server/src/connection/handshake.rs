//! TLS handshakes that fail.

use std::{
    io,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::service::Service;

/// How often the log says that a client's certificate was refused; anybody can send one.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// When the log last said so.
pub(crate) type Warned = Mutex<Option<Instant>>;

/// Notes why a handshake failed: as a warning if it was for the client's certificate, which an operator asked for and a client can
/// not see the reason of.
pub(super) fn note_failed(error: &io::Error, service: &Service) {
    let peer =
        service.peer().address.map_or_else(|| "a client".to_owned(), |peer| peer.to_canonical().to_string());
    match reason(error) {
        Some(reason) if is_due(service.warned(), Instant::now()) => {
            tracing::warn!("refused the client certificate of {peer}: {reason}");
        }
        _ => tracing::debug!("TLS handshake with {peer} failed: {error}"),
    }
}

/// Why a client's certificate was refused, if that is what happened: a server verifies no others.
fn reason(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::NoCertificatesPresented => {
            Some("it sent none, and `http.tls.clientauth` asks for one".to_owned())
        }
        rustls::Error::InvalidCertificate(reason) => {
            let reason = reason.to_string();
            Some(format!("{reason} (the authorities are those of `http.tls.clientcas`)"))
        }
        _ => None,
    }
}

fn is_due(warned: &Warned, now: Instant) -> bool {
    let mut warned = warned.lock();
    let is_due = warned.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
    if is_due {
        *warned = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::CertificateError;

    #[test]
    fn only_what_is_wrong_with_a_certificate_is_a_warning() {
        let failed = |error: rustls::Error| reason(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(failed(rustls::Error::NoCertificatesPresented).is_some_and(|why| why.contains("none")));
        let expired = failed(CertificateError::Expired.into());
        assert!(expired.is_some_and(|why| why.contains("xpired")));
        assert!(failed(CertificateError::UnknownIssuer.into()).is_some());
        assert_eq!(failed(rustls::Error::HandshakeNotComplete), None);
        assert_eq!(reason(&io::ErrorKind::UnexpectedEof.into()), None);
    }

    #[test]
    fn a_flood_of_certificates_is_no_flood_of_lines() {
        let (warned, begin) = (Mutex::new(None), Instant::now());
        let after = |millis| is_due(&warned, begin + Duration::from_millis(millis));
        assert_eq!([0, 10, 999, 1000, 1500, 2001].map(after), [true, false, false, true, false, true]);
    }
}
