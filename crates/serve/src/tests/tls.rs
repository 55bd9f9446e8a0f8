//! A server that others reach: it speaks TLS, and nothing else.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use empiric_testkit::story::Story;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls};
use tokio_util::sync::CancellationToken;

use super::write;
use crate::{Options, Outside, Server, Source, Token};

/// Of `localhost`, signed by itself, until 2120.
const CERTIFICATE: &str = include_str!("cert.pem");
const KEY: &str = include_str!("key.pem");

fn options(dir: &Path, outside: Option<Outside>) -> Options {
    Options {
        source: Source::at(&dir.join("golf")).unwrap(),
        bind: [127, 0, 0, 1].into(),
        port: 0,
        outside,
        token: Token::random().unwrap(),
        user: "ann".to_owned(),
        clock: Arc::new(Timestamp::now),
    }
}

async fn asked(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    // A server may close without saying so.
    stream.read_to_end(&mut reply).await.ok();
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

#[tokio::test]
async fn a_handshake_is_made_and_neither_the_clear_nor_a_dawdler_gets_in_its_way() {
    let dir = tempfile::tempdir().unwrap();
    write(&Story::many(3), &dir.path().join("golf"));
    let [certificate, key] = [("cert.pem", CERTIFICATE), ("key.pem", KEY)].map(|(name, text)| {
        fs_err::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    });
    // A key that is none names its file.
    let swapped = Outside::Tls { certificate: key.clone(), key: key.clone() };
    let refusal = Server::bind(options(dir.path(), Some(swapped))).await.err().unwrap();
    assert!(refusal.to_string().contains("key.pem"), "{refusal}");

    let outside = Some(Outside::Tls { certificate, key });
    let server = Server::bind(options(dir.path(), outside)).await.unwrap();
    let address = server.address();
    let url = server.url();
    let token = url.strip_prefix(&format!("https://{address}/?token=")).unwrap().to_owned();
    let cancel = CancellationToken::new();
    let serving = server.run(cancel.clone());
    let asking = async {
        let dawdler = TcpStream::connect(address).await.unwrap();
        let port = address.port();
        let request = |token: &str| {
            format!(
                "GET /api/studies HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {token}\r\n\
                 Connection: close\r\n\r\n"
            )
        };
        let reply = asked(address, &request(&token)).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("golf"), "{reply}");
        let reply = asked(address, &request("0")).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
        // The same in the clear is no handshake.
        let mut clear = TcpStream::connect(address).await.unwrap();
        clear.write_all(request(&token).as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        clear.read_to_end(&mut reply).await.ok();
        assert!(!String::from_utf8_lossy(&reply).contains("HTTP/"), "{reply:?}");
        drop(dawdler);
        cancel.cancel();
    };
    let both = async { tokio::join!(serving, asking) };
    let (served, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    served.unwrap();
}
