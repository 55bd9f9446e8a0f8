//! Every table in every format, and the manifest of a crate.

use std::path::Path;

use empiric_testkit::story::Story;
use jiff::Timestamp;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};
use serde_json::Value;

use crate::{Entity, Kind, Values, jsonl, parquet as write_parquet, ro_crate, tables};

fn rows(path: &Path) -> Vec<Value> {
    let text = fs_err::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tables_say_what_happened() {
    let study = Story::sixty().study;
    let dir = tempfile::tempdir().unwrap();
    let counts: Vec<(&str, usize)> =
        tables(&study).iter().map(|table| (table.name, table.rows())).collect();
    let replicates: usize = study.trials().iter().map(|trial| trial.replicates.len()).sum();
    assert_eq!(counts[0], ("trials", 61));
    assert_eq!(counts[1], ("replicates", replicates));
    for table in tables(&study) {
        assert!(table.columns.iter().all(|column| column.values.len() == table.rows()));
    }
    let trials = rows(&jsonl(&tables(&study)[0], dir.path()).unwrap());
    insta::assert_json_snapshot!("kept", trials[44]);
    insta::assert_json_snapshot!("failed", trials[9]);
    let measured = rows(&jsonl(&tables(&study)[3], dir.path()).unwrap());
    insta::assert_json_snapshot!("measurement", measured[0]);
}

/// What Parquet gives back is what JSON Lines says, row by row.
#[test]
fn parquet_holds_the_same_as_json_lines() {
    let study = Story::sixty().study;
    let dir = tempfile::tempdir().unwrap();
    for table in tables(&study) {
        let told = rows(&jsonl(&table, dir.path()).unwrap());
        let path = write_parquet(&table, dir.path()).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows() as usize, table.rows());
        let mut n = 0;
        for (row, told) in reader.get_row_iter(None).unwrap().zip(&told) {
            for (name, field) in row.unwrap().get_column_iter() {
                assert_eq!(json(field), told[name], "{} {name} of row {n}", table.name);
            }
            n += 1;
        }
        assert_eq!(n, table.rows());
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other kind is written")]
fn json(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(value) => value.as_str().into(),
        Field::TimestampMicros(value) => {
            Timestamp::from_microsecond(*value).unwrap().to_string().into()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_but_finite_numbers_is_written() {
    let study = Story::many(30).study;
    for table in tables(&study) {
        for column in &table.columns {
            if let Values::Real(values) = &column.values {
                assert!(values.iter().flatten().all(|value| value.is_finite()));
            }
        }
    }
}

#[test]
fn a_crate_names_its_files_with_their_hashes() {
    let study = Story::sixty().study;
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("champion.patch"), "abc").unwrap();
    let files = [Entity { path: "champion.patch".into(), kind: Kind::Patch }];
    let at = Timestamp::from_second(1_770_000_000).unwrap();
    let path = ro_crate(&study, dir.path(), &files, "6d6d", "0.1.0", at).unwrap();
    let manifest: Value = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    insta::assert_json_snapshot!("crate", manifest);
    // FIPS 180-4's own example.
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let entities = manifest["@graph"].as_array().unwrap();
    let patch = entities.iter().find(|entity| entity["@id"] == "champion.patch").unwrap();
    assert_eq!(patch["sha256"], hash);
    // A file that is not there is an error, and leaves no manifest half written.
    let missing = [Entity { path: "none".into(), kind: Kind::Table }];
    assert!(ro_crate(&study, dir.path(), &missing, "", "", at).is_err());
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn tensorboard_files_are_one_per_arm_and_whole() {
    let study = Story::sixty().study;
    let dir = tempfile::tempdir().unwrap();
    let at = Timestamp::from_second(1_770_000_000).unwrap();
    let paths = crate::tensorboard(&study, dir.path(), at).unwrap();
    let name = "tuner/events.out.tfevents.1770000000.empiric";
    assert_eq!(paths, [dir.path().join(name)]);
    // Records follow one another without gaps.
    let bytes = fs_err::read(&paths[0]).unwrap();
    let (mut place, mut records) = (0, 0);
    while place < bytes.len() {
        let length = u64::from_le_bytes(bytes[place..place + 8].try_into().unwrap());
        place += usize::try_from(length).unwrap() + 16;
        records += 1;
    }
    assert_eq!(place, bytes.len());
    let scored = study.trials().iter().filter(|trial| trial.search_score("bpb").is_some()).count();
    assert_eq!(records, 1 + study.trials().len() + scored + 2 * study.keeps().len());
}

/// A server that answers every request in order with one of `replies`, and gives back what it was sent.
fn server(replies: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let mut heard = Vec::new();
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let n = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                });
                if body.len() >= length.unwrap_or(0) {
                    heard.push(text);
                    break;
                }
            }
            let length = reply.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
        }
        heard
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn news_reaches_a_web_address_and_a_command() {
    use crate::{Hook, News, Notifier};
    let story = Story::sixty();
    let mut study = empiric_core::Study::open(&story.records[0]).unwrap();
    let mut news = Vec::new();
    for record in &story.records[1..] {
        study.apply(record).unwrap();
        news.extend(News::of(record, &study));
    }
    let kept = news.iter().filter(|news| news.event == "keep").count();
    assert_eq!(kept, study.keeps().len());
    assert_eq!(news.last().unwrap().event, "finished");

    let (url, heard) = server(vec![""]);
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("told");
    let script = format!("cat > {0} && echo \" $EMPIRIC_EVENT\" >> {0}", told.display());
    let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let hooks = vec![Hook::Webhook(format!("{url}/hook?token=secret")), Hook::Command(command)];
    let notifier = Notifier::start(hooks).unwrap();
    notifier.tell(news[0].clone());
    assert_eq!(notifier.end(std::time::Duration::from_secs(30)), crate::Untold::default());
    let heard = heard.join().unwrap().remove(0);
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?token=secret HTTP/1.1"), "{head}");
    let sent: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&sent["event"], &sent["trial"]), (&"keep".into(), &"t2".into()));
    let told = fs_err::read_to_string(told).unwrap();
    assert_eq!(told, format!("{body} keep\n"));
}

#[test]
fn what_cannot_be_told_is_said_without_the_address_and_waits_for_nobody() {
    use crate::{Hook, News, Notifier};
    let study = Story::new(empiric_testkit::story::task()).study;
    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://127.0.0.1:{port}/secret-token");
    let failing = ["sh", "-c", "exit 3"].map(str::to_owned).to_vec();
    let notifier = Notifier::start(vec![Hook::Webhook(address), Hook::Command(failing)]).unwrap();
    for _ in 0..2 {
        notifier.tell(News::broken(&study, "the evaluator keeps failing"));
    }
    let untold = notifier.end(std::time::Duration::from_secs(30));
    assert_eq!(untold.count, 4);
    let why = untold.last.unwrap();
    assert!(why.contains("`sh`: it ends with exit status: 3"), "{why}");
    let web = crate::web::Web::new(std::time::Duration::from_secs(10)).unwrap();
    let refused = web.send(
        reqwest::Method::POST,
        &format!("http://127.0.0.1:{port}/secret-token"),
        reqwest::header::HeaderMap::new(),
        Vec::new(),
    );
    let said = refused.err().unwrap().to_string();
    assert!(!said.contains("secret") && said.contains("refused"), "{said}");
}
