//! TLS between a consumer's socket and its reply. The bench measures and does not trust: whoever answers is
//! taken, with a sound signature.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use anyhow::Context;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::limits::{ROLE_ANSWER, TLS_RECORD_BYTES};

/// One connection.
pub(super) struct Tls {
    connection: ClientConnection,
    plain: Vec<u8>,
}

/// What consumers of a load have in common.
pub(super) fn config() -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let anyone = Arc::new(Anyone(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(anyone)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Tls {
    /// Agree on keys, and say `request`. Blocks meanwhile.
    pub(super) fn open(
        config: &Arc<ClientConfig>,
        socket: &mut TcpStream,
        request: &str,
    ) -> anyhow::Result<Self> {
        let name = ServerName::from(socket.peer_addr()?.ip());
        let mut connection = ClientConnection::new(Arc::clone(config), name)?;
        socket.set_read_timeout(Some(ROLE_ANSWER))?;
        while connection.is_handshaking() {
            connection.complete_io(socket).context("no TLS there")?;
        }
        connection.writer().write_all(request.as_bytes())?;
        while connection.wants_write() {
            connection.write_tls(socket)?;
        }
        Ok(Self { connection, plain: vec![0; TLS_RECORD_BYTES] })
    }

    /// Hand out what is in `sealed`, which came next.
    pub(super) fn take(
        &mut self,
        mut sealed: &[u8],
        mut out: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while !sealed.is_empty() {
            self.connection.read_tls(&mut sealed)?;
            self.connection.process_new_packets()?;
            loop {
                match self.connection.reader().read(&mut self.plain) {
                    Ok(0) => return Ok(()),
                    Ok(read) => out(self.plain.get(..read).unwrap_or_default())?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// Takes any certificate whose key signs the handshake.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
