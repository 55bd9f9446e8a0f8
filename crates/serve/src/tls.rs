//! TLS for a server that others than this machine may reach: a listener that hands out connections whose handshake is
//! done. One that dawdles holds up nobody.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::serve::Listener;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at one time.
const AT_ONCE: usize = 256;

/// What the server proves its name with.
pub(crate) fn acceptor(chain: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let bad = |path: &Path, why: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("read {}: {why}", path.display()))
    };
    let pem = fs_err::read(chain)?;
    let chain_of: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(chain, &error))?;
    if chain_of.is_empty() {
        return Err(bad(chain, &"there is no certificate in it"));
    }
    let private =
        PrivateKeyDer::from_pem_slice(&fs_err::read(key)?).map_err(|error| bad(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain_of, private)
        .map_err(|error| bad(chain, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// See the module.
pub(crate) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    /// Ends when this is dropped.
    _accepting: JoinSet<()>,
}

impl TlsListener {
    pub(crate) fn new(mut listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(AT_ONCE);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut shaking = JoinSet::new();
            loop {
                let (stream, from) = Listener::accept(&mut listener).await;
                while shaking.len() >= AT_ONCE {
                    shaking.join_next().await;
                }
                while shaking.try_join_next().is_some() {}
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                shaking.spawn(async move {
                    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        sender.send((stream, from)).await.ok();
                    }
                });
            }
        });
        Ok(Self { ready, address, _accepting: accepting })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
