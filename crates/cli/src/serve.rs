//! `empiric serve`: studies over HTTP, on this machine alone unless told otherwise. Also beside `empiric run --serve`.

use std::{net::IpAddr, path::Path};

use empiric_serve::{Options, Outside, Server, Source, Token};
use serde_json::json;
use tokio::signal::unix;
use tokio_util::sync::CancellationToken;

use crate::{
    ambient,
    args::Serve,
    exit::{Failure, Kind},
    out,
    runtime::runtime,
};

pub(crate) fn serve(args: &Serve) -> Result<(), Failure> {
    let options = options(&args.path, args.bind, args.port, outside(args)?)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let server = bind(options, args.port.is_none()).await?;
        if args.json {
            out::json(&json!({"url": server.url(), "address": server.address()}))?;
        } else {
            out::line(&server.url())?;
            out::talk(
                "whoever has this URL can look at the studies and steer them; interrupt to end",
            );
        }
        let cancel = CancellationToken::new();
        let mut interrupts = unix::signal(unix::SignalKind::interrupt())?;
        let mut terminations = unix::signal(unix::SignalKind::terminate())?;
        let mut serving = std::pin::pin!(server.run(cancel.clone()));
        loop {
            tokio::select! {
                ended = &mut serving => return ended.map_err(failure),
                _ = interrupts.recv() => cancel.cancel(),
                _ = terminations.recv() => cancel.cancel(),
            }
        }
    })
}

/// A server of the study in `dir`, on loopback, for as long as a session runs.
pub(crate) async fn beside(dir: &Path) -> Result<Server, Failure> {
    let server = bind(options(dir, None, None, None)?, true).await?;
    out::talk(&format!("watch it at {}", server.url()));
    Ok(server)
}

/// The port where none is named and it is free.
const PORT: u16 = 8377;

fn options(
    path: &Path,
    bind: Option<IpAddr>,
    port: Option<u16>,
    outside: Option<Outside>,
) -> Result<Options, Failure> {
    let source = Source::at(path).map_err(|error| {
        Failure::new(Kind::Input, error).hint("name a study, or a directory of studies")
    })?;
    Ok(Options {
        source,
        bind: bind.unwrap_or(IpAddr::from([127, 0, 0, 1])),
        port: port.unwrap_or(PORT),
        outside,
        token: Token::random()?,
        user: ambient::user(),
        clock: ambient::clock(),
    })
}

/// Takes the port, or where it may be `any`, another one when it is taken.
async fn bind(options: Options, any: bool) -> Result<Server, Failure> {
    let other = Options { port: 0, ..options.clone() };
    match Server::bind(options).await {
        Err(empiric_serve::Error::Io(error))
            if any && error.kind() == std::io::ErrorKind::AddrInUse =>
        {
            Server::bind(other).await.map_err(failure)
        }
        bound => bound.map_err(failure),
    }
}

fn outside(args: &Serve) -> Result<Option<Outside>, Failure> {
    match (&args.tls_cert, &args.tls_key, &args.behind_proxy) {
        (Some(certificate), Some(key), None) => {
            Ok(Some(Outside::Tls { certificate: certificate.clone(), key: key.clone() }))
        }
        (None, None, Some(origin)) => Ok(Some(Outside::Proxy { origin: origin.clone() })),
        (None, None, None) => Ok(None),
        _ => Err(Failure::say(
            Kind::Usage,
            "--tls-cert and --tls-key go together, without --behind-proxy",
        )),
    }
}

pub(crate) fn failure(error: empiric_serve::Error) -> Failure {
    match error {
        empiric_serve::Error::Open(_) => Failure::new(Kind::Usage, error)
            .hint("--tls-cert and --tls-key, or --behind-proxy https://NAME; without --bind, an ssh tunnel does"),
        empiric_serve::Error::Origin(_) => Failure::new(Kind::Usage, error),
        empiric_serve::Error::Io(error) => Failure::new(Kind::Input, error),
    }
}
