//! Certificates of the server, generated at each start: a valid one, and those that a client must refuse.
//!
//! All except the self-signed one are signed by an authority that is written to a file, so that a client that trusts it
//! sees only the intended fault.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Valid if the authority is trusted.
    Good,
    SelfSigned,
    Expired,
    /// Issued for another host.
    OtherHost,
    /// The server does not speak TLS.
    Garbage,
}

pub(crate) enum Tls {
    Certificate(TlsAcceptor),
    Garbage,
}

/// Generates the key and certificate.
pub(super) fn make(kind: Kind, authority: Option<&Path>) -> Tls {
    if kind == Kind::Garbage {
        return Tls::Garbage;
    }
    let host = if kind == Kind::OtherHost { "other.example.org" } else { "127.0.0.1" };
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    if kind == Kind::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match kind {
        Kind::SelfSigned => params.self_signed(&key).unwrap(),
        _ => params.signed_by(&key, &issuer(authority)).unwrap(),
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    Tls::Certificate(TlsAcceptor::from(Arc::new(config)))
}

/// Generates an authority, and writes its certificate to `file`.
fn issuer(file: Option<&Path>) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    if let Some(file) = file {
        std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    }
    Issuer::new(params, key)
}
