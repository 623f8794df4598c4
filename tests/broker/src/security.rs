//! A broker that wants to know who comes, and shows a certificate: one user, and a key made with Java's `keytool`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::listeners::Listener;

pub const USER: &str = "mill";
pub const PASSWORD: &str = "grind-7c1e";

/// Nobody else can read the folder that the key is in.
const KEY_PASSWORD: &str = "only-for-tests";

/// The places of a broker that are not for everybody, each with the name of its protocol, and what its clients must know.
pub struct Security {
    /// `USER` with `PASSWORD`, by `PLAIN` or `SCRAM-SHA-512`.
    pub sasl_plaintext: SocketAddr,
    pub ssl: SocketAddr,
    /// The same user over TLS.
    pub sasl_ssl: SocketAddr,
    /// Of the broker, in PEM, signed by itself: who trusts nobody else trusts this.
    pub certificate: PathBuf,
    key: PathBuf,
}

impl Security {
    /// Makes key and certificate in `folder`.
    pub(crate) fn create(folder: &Path, [sasl_plaintext, ssl, sasl_ssl]: [SocketAddr; 3]) -> Result<Self> {
        let (key, certificate) = (folder.join("broker.p12"), folder.join("broker.pem"));
        let made = [
            "-genkeypair",
            "-keyalg",
            "EC",
            "-groupname",
            "secp256r1",
            "-dname",
            "CN=broker",
            "-ext",
            "san=ip:127.0.0.1",
        ];
        keytool(&key, &made)?;
        keytool(&key, &["-exportcert", "-rfc", "-file", &certificate.display().to_string()])?;
        Ok(Self { sasl_plaintext, ssl, sasl_ssl, certificate, key })
    }

    pub(crate) fn listeners(&self) -> [Listener; 3] {
        [
            Listener::of("SASL_PLAINTEXT", self.sasl_plaintext),
            Listener::of("SSL", self.ssl),
            Listener::of("SASL_SSL", self.sasl_ssl),
        ]
    }

    pub(crate) fn settings(&self) -> String {
        let key = self.key.display();
        let mut settings = format!(
            "ssl.keystore.type=PKCS12\n\
             ssl.keystore.location={key}\n\
             ssl.keystore.password={KEY_PASSWORD}\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n"
        );
        let login = "org.apache.kafka.common.security";
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            let of = format!("listener.name.{listener}");
            settings += &format!(
                "{of}.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
                 {of}.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;\n"
            );
        }
        settings
    }

    /// What the storage is formatted with: it keeps the users of SCRAM.
    pub(crate) fn format_arguments() -> [String; 2] {
        ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")]
    }
}

fn keytool(store: &Path, arguments: &[&str]) -> Result<()> {
    let mut keytool = Command::new("keytool");
    keytool.args(arguments).args(["-alias", "broker", "-storetype", "PKCS12", "-storepass", KEY_PASSWORD]);
    let output = keytool.arg("-keystore").arg(store).output().context("cannot run keytool, which comes with Java")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "keytool makes no key for a Kafka broker: {said}");
    Ok(())
}
