//! `empiric export` to other programs: tables, TensorBoard, MLflow, a research object.

use std::path::{Path, PathBuf};

use empiric_core::{Record, Study, TrialNo};
use empiric_engine::Layout;
use empiric_export::{Artefact, Entity, Kind as File, Mlflow, MlflowError, OtlpError};
use empiric_ledger::{Blobs, Reader};
use serde_json::{Value, json};

use crate::{
    ambient,
    args::Export,
    exit::{Failure, Kind},
    live, look,
    look::ReportFormat,
    out,
};

/// Events read at one time.
const PAGE: u32 = 1000;

/// Writes what was asked for, where one of these formats was; says whether it was.
pub(crate) fn export(args: &Export, layout: &Layout, study: &Study) -> Result<bool, Failure> {
    let (what, to, told) = if let Some(dir) = &args.jsonl {
        let paths = tables(layout, study, dir, empiric_export::jsonl)?;
        ("jsonl", dir.display().to_string(), json!(paths))
    } else if let Some(dir) = &args.parquet {
        let paths = tables(layout, study, dir, empiric_export::parquet)?;
        ("parquet", dir.display().to_string(), json!(paths))
    } else if let Some(dir) = &args.tensorboard {
        fs_err::create_dir_all(dir)?;
        let paths = empiric_export::tensorboard(study, dir, (ambient::clock())())?;
        ("tensorboard", dir.display().to_string(), json!(paths))
    } else if let Some(dir) = &args.ro_crate {
        let path = research_object(layout, study, dir)?;
        ("ro_crate", dir.display().to_string(), json!(path))
    } else if let Some(url) = &args.otlp {
        let records = records(&Reader::open(layout.root())?, study.seq())?;
        let spans = empiric_export::otlp(&records, url)?;
        ("otlp", url.clone(), json!({"spans": spans}))
    } else if let Some(url) = &args.mlflow {
        let token = ambient::mlflow_token();
        let server = Mlflow::new(url, token.as_deref())?;
        let logged = server.log(study, &|no| artefacts(layout, study, no))?;
        ("mlflow", url.clone(), serde_json::to_value(logged)?)
    } else {
        return Ok(false);
    };
    if args.json {
        out::json(&json!({"format": what, "to": to, "written": told}))?;
        return Ok(true);
    }
    if let Some(spans) = told.get("spans") {
        out::talk(&format!("{spans} spans sent"));
        return Ok(true);
    }
    if let Some(runs) = told.get("runs") {
        let (kept, files) = (&told["kept"], &told["artefacts"]);
        out::talk(&format!("{runs} runs made, {kept} were there already, {files} files sent"));
        return Ok(true);
    }
    let one = std::slice::from_ref(&told);
    let paths = told.as_array().map_or(one, Vec::as_slice);
    for path in paths.iter().filter_map(Value::as_str) {
        out::line(path)?;
    }
    Ok(true)
}

type Write = fn(&empiric_export::Table, &Path) -> Result<PathBuf, empiric_export::Error>;

fn tables(
    layout: &Layout,
    study: &Study,
    dir: &Path,
    write: Write,
) -> Result<Vec<PathBuf>, Failure> {
    fs_err::create_dir_all(dir)?;
    Ok(all(layout, study).iter().map(|table| write(table, dir)).collect::<Result<_, _>>()?)
}

/// Every table, what was said to models and by them among them.
fn all(layout: &Layout, study: &Study) -> Vec<empiric_export::Table> {
    let blobs = Blobs::of(layout.root());
    let mut tables = empiric_export::tables(study);
    tables.push(empiric_export::turns(study, &|id| blobs.get(id).ok()));
    tables
}

/// Puts everything that outlives a study into a directory, with a manifest.
fn research_object(layout: &Layout, study: &Study, dir: &Path) -> Result<PathBuf, Failure> {
    fs_err::create_dir_all(dir)?;
    let reader = Reader::open(layout.root())?;
    let report = look::report_of(layout, &reader, study)?;
    let mut files = Vec::new();
    let mut add = |name: &str, kind: File, bytes: &[u8]| -> Result<(), Failure> {
        look::whole(&dir.join(name), bytes)?;
        files.push(Entity { path: name.into(), kind });
        Ok(())
    };
    for format in [ReportFormat::Html, ReportFormat::Markdown] {
        add(format.file(), File::Report, format.write(study, &report).as_bytes())?;
    }
    add("report.json", File::Report, &serde_json::to_vec_pretty(&report)?)?;
    add("ledger.jsonl", File::Ledger, &ledger(&reader, study.seq())?)?;
    add("study.toml", File::Asked, &fs_err::read(layout.asked())?)?;
    if study.champion() != TrialNo::BASELINE {
        add("champion.patch", File::Patch, change(layout, study, study.champion())?.as_bytes())?;
    }
    for table in all(layout, study) {
        for write in [empiric_export::jsonl as Write, empiric_export::parquet] {
            let path = write(&table, dir)?;
            let name = PathBuf::from(path.file_name().unwrap_or_default());
            files.push(Entity { path: name, kind: File::Table });
        }
    }
    let head = reader.head()?.hash.to_string();
    let version = env!("CARGO_PKG_VERSION");
    let at = (ambient::clock())();
    Ok(empiric_export::ro_crate(study, dir, &files, &head, version, at)?)
}

/// Events as JSON Lines, up to the one that the study ends with.
fn ledger(reader: &Reader, last: u64) -> Result<Vec<u8>, Failure> {
    let mut lines = Vec::new();
    for record in records(reader, last)? {
        serde_json::to_writer(&mut lines, &live::flat(&record))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Events up to number `last`.
fn records(reader: &Reader, last: u64) -> Result<Vec<Record>, Failure> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |record: &Record| record.seq);
        let mut page = reader.records(after, PAGE)?;
        page.retain(|record| record.seq <= last);
        if page.is_empty() {
            return Ok(all);
        }
        all.append(&mut page);
    }
}

/// The change of a trial against the unedited recipe.
fn change(layout: &Layout, study: &Study, no: TrialNo) -> Result<String, Failure> {
    let baseline = look::trial(study, "baseline")?;
    look::unified(layout, baseline, look::trial(study, &no.to_string())?)
}

/// The files that go with a trial's run; with the baseline's the report. What cannot be read is left out.
fn artefacts(layout: &Layout, study: &Study, no: TrialNo) -> Vec<Artefact> {
    if no == TrialNo::BASELINE {
        let report = Reader::open(layout.root())
            .map_err(Failure::from)
            .and_then(|reader| look::report_of(layout, &reader, study));
        let write = |report| {
            [ReportFormat::Html, ReportFormat::Markdown]
                .map(|format| (format.file().to_owned(), format.write(study, &report).into_bytes()))
        };
        return report.map(write).into_iter().flatten().collect();
    }
    let edited = study.trial(no).is_some_and(|trial| trial.edit.is_some());
    let patch = edited.then(|| change(layout, study, no).ok()).flatten();
    patch.map(|text| ("change.patch".to_owned(), text.into_bytes())).into_iter().collect()
}

impl From<empiric_export::Error> for Failure {
    fn from(error: empiric_export::Error) -> Self {
        match error {
            empiric_export::Error::Io(error) => error.into(),
            error @ (empiric_export::Error::Parquet { .. } | empiric_export::Error::Json(_)) => {
                Self::new(Kind::Internal, error)
            }
        }
    }
}

impl From<OtlpError> for Failure {
    fn from(error: OtlpError) -> Self {
        Self::new(Kind::Input, error)
            .hint("--otlp takes the address of a collector that speaks OTLP over HTTP, such as http://127.0.0.1:4318")
    }
}

impl From<MlflowError> for Failure {
    fn from(error: MlflowError) -> Self {
        let unreachable = matches!(error, MlflowError::Unreachable(_));
        let failure = Self::new(Kind::Input, error);
        if unreachable {
            return failure.hint(
                "--mlflow takes the address of a tracking server, such as http://127.0.0.1:5000",
            );
        }
        failure.hint("a token is read from MLFLOW_TRACKING_TOKEN")
    }
}
