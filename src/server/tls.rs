//! TLS as the web config file wants it.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::web_config::{Context, TlsServerConfig, WebConfigError};

/// What client_auth_type may say: of Prometheus' five the three that are of use.
const NONE: &str = "NoClientCert";
const IF_GIVEN: &str = "VerifyClientCertIfGiven";
const REQUIRED: &str = "RequireAndVerifyClientCert";

const VERSIONS: [(&str, &SupportedProtocolVersion); 2] = [("TLS12", &version::TLS12), ("TLS13", &version::TLS13)];

/// The cryptography that is used, whatever others in the program are built with.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl TlsServerConfig {
    pub(super) fn requires_client_certificate(&self) -> bool {
        self.client_auth_type.as_deref() == Some(REQUIRED)
    }
}

/// The server's side of TLS.
pub(super) fn server(section: &TlsServerConfig, context: &Context<'_>) -> Result<Arc<ServerConfig>, WebConfigError> {
    let wrong = |key: &str, problem: &str| context.wrong(&format!("tls_server_config.{key}"), problem);
    let named = |key: &str, file: &'_ Option<std::path::PathBuf>| {
        file.clone().ok_or_else(|| wrong(key, "is missing; both cert_file and key_file are needed"))
    };
    let (cert_file, key_file) = (named("cert_file", &section.cert_file)?, named("key_file", &section.key_file)?);
    let versions = versions(section, &wrong)?;
    let auth = section.client_auth_type.as_deref().unwrap_or(NONE);
    if ![NONE, IF_GIVEN, REQUIRED].contains(&auth) {
        return Err(wrong("client_auth_type", &format!("must be {NONE}, {IF_GIVEN} or {REQUIRED}")));
    }
    let chain =
        certificates(context.content(&cert_file)).ok_or_else(|| wrong("cert_file", "holds no certificate in PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(context.content(&key_file))
        .map_err(|_secret| wrong("key_file", "holds no private key in PEM"))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&versions);
    let builder = builder.map_err(|error| wrong("min_version", &error.to_string()))?;
    let builder = match (&section.client_ca_file, auth) {
        (None, NONE) => builder.with_no_client_auth(),
        (Some(_), NONE) => {
            let problem = format!("would not be used: set client_auth_type to {REQUIRED} or {IF_GIVEN}");
            return Err(wrong("client_ca_file", &problem));
        }
        (None, _) => return Err(wrong("client_ca_file", &format!("is missing; {auth} needs it"))),
        (Some(file), _) => {
            let roots = authorities(file, context, &wrong)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
            let verifier = if auth == IF_GIVEN { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build().map_err(|error| wrong("client_ca_file", &error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| wrong("key_file", &format!("does not fit to cert_file: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

type Wrong<'a> = &'a dyn Fn(&str, &str) -> WebConfigError;

fn versions(
    section: &TlsServerConfig,
    wrong: Wrong<'_>,
) -> Result<Vec<&'static SupportedProtocolVersion>, WebConfigError> {
    let place = |key: &str, text: &Option<String>, default: usize| match text {
        None => Ok(default),
        Some(text) => VERSIONS
            .iter()
            .position(|(name, _)| name == text)
            .ok_or_else(|| wrong(key, "must be TLS12 or TLS13; older ones are not safe")),
    };
    let least = place("min_version", &section.min_version, 0)?;
    let most = place("max_version", &section.max_version, VERSIONS.len() - 1)?;
    let chosen = VERSIONS.get(least..=most).filter(|chosen| !chosen.is_empty());
    let chosen = chosen.ok_or_else(|| wrong("max_version", "is below min_version"))?;
    Ok(chosen.iter().map(|(_, version)| *version).collect())
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

fn authorities(file: &Path, context: &Context<'_>, wrong: Wrong<'_>) -> Result<RootCertStore, WebConfigError> {
    let found = certificates(context.content(file));
    let mut roots = RootCertStore::empty();
    for certificate in found.ok_or_else(|| wrong("client_ca_file", "holds no certificate in PEM"))? {
        roots.add(certificate).map_err(|error| wrong("client_ca_file", &error.to_string()))?;
    }
    Ok(roots)
}
