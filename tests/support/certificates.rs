//! Certificates made by `openssl` on the command line, for a day.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with an authority (`ca.pem`) and what it signed, and another authority that nobody trusts.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    /// `None`, with a word about it, where there is no `openssl`.
    #[allow(clippy::print_stdout, reason = "what is skipped is told")]
    pub(crate) fn make() -> Option<Self> {
        if !Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success()) {
            println!("skipped: there is no openssl");
            return None;
        }
        let made = Self(tempfile::tempdir().unwrap());
        for authority in ["ca", "other-ca"] {
            let (key, pem) = (format!("{authority}.key"), format!("{authority}.pem"));
            let subject = format!("/CN=test {authority}");
            made.openssl(
                &[&["req", "-x509", "-days", "1", "-keyout", &key, "-out", &pem, "-subj", &subject], NEW_KEY].concat(),
            );
        }
        made.sign("ca", "server", "DNS:localhost,IP:127.0.0.1");
        made.sign("ca", "client", "DNS:client.example");
        made.sign("other-ca", "stranger", "DNS:client.example");
        Some(made)
    }

    /// Makes `NAME.pem` and `NAME.key` anew, signed by an authority.
    pub(crate) fn sign(&self, authority: &str, name: &str, names: &str) {
        let [key, request, pem, names_file] = ["key", "csr", "pem", "ext"].map(|kind| format!("{name}.{kind}"));
        let [ca, ca_key] = ["pem", "key"].map(|kind| format!("{authority}.{kind}"));
        fs::write(self.path(&names_file), format!("subjectAltName={names}\n")).unwrap();
        let subject = format!("/CN={name}");
        self.openssl(&[&["req", "-keyout", &key, "-out", &request, "-subj", &subject], NEW_KEY].concat());
        self.openssl(&[
            "x509",
            "-req",
            "-days",
            "1",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-out",
            &pem,
            "-extfile",
            &names_file,
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

const NEW_KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
