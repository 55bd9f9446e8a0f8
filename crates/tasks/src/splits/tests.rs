use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn declared(weights: [f64; 3]) -> Splits {
    Splits {
        items: "items.csv".to_owned(),
        id: "id".to_owned(),
        weights,
        stratify: None,
        group: None,
        time: None,
        column: None,
        seed: 0,
    }
}

fn deal(table: &str, declared: &Splits) -> Result<Assignment, String> {
    let rows = rows(table.as_bytes(), declared)?;
    assign(&rows, declared, &key(declared, table.as_bytes()))
}

fn all(assignment: &Assignment) -> Vec<String> {
    let mut ids: Vec<String> =
        SPLITS.iter().flat_map(|split| assignment.of(*split)).cloned().collect();
    ids.sort();
    ids
}

proptest! {
    #[test]
    fn strata_are_dealt_evenly_and_every_item_once(
        labels in prop::collection::vec(0..6_u8, 30..300),
        weights in (1..9_u32, 1..9_u32, 0..9_u32),
    ) {
        let weights = [weights.0, weights.1, weights.2].map(f64::from);
        let mut table = "id,label\n".to_owned();
        labels.iter().enumerate().for_each(|(i, label)| table.push_str(&format!("i{i},{label}\n")));
        let declared = Splits { stratify: Some("label".to_owned()), ..declared(weights) };
        let Ok(found) = deal(&table, &declared) else { return Ok(()) };
        let mut ids: Vec<String> = (0..labels.len()).map(|i| format!("i{i}")).collect();
        ids.sort();
        prop_assert_eq!(all(&found), ids);
        let total: f64 = weights.iter().sum();
        for (split, weight) in SPLITS.into_iter().zip(weights) {
            let share = weight / total;
            let mut counts = BTreeMap::new();
            for id in found.of(split) {
                *counts.entry(labels[id[1..].parse::<usize>().unwrap()]).or_insert(0) += 1;
            }
            for label in 0..6 {
                let n = labels.iter().filter(|held| **held == label).count() as f64;
                let got = f64::from(counts.get(&label).copied().unwrap_or(0));
                prop_assert!((got - share * n).abs() < 2.0, "{split:?} {label}: {got} of {n}");
            }
            let n = labels.len() as f64;
            prop_assert!((found.of(split).len() as f64 - share * n).abs() <= 3.0);
        }
    }

    #[test]
    fn groups_stay_together(groups in prop::collection::vec(0..20_u8, 40..200), stratified in any::<bool>()) {
        let mut table = "id,writer,label\n".to_owned();
        for (i, group) in groups.iter().enumerate() {
            table.push_str(&format!("{i},w{group},{}\n", i % 3));
        }
        let stratify = stratified.then(|| "label".to_owned());
        let declared =
            Splits { group: Some("writer".to_owned()), stratify, ..declared([2.0, 1.0, 1.0]) };
        let Ok(found) = deal(&table, &declared) else { return Ok(()) };
        let mut of = BTreeMap::new();
        for split in SPLITS {
            for id in found.of(split) {
                let held = of.entry(groups[id.parse::<usize>().unwrap()]).or_insert(split);
                prop_assert_eq!(*held, split);
            }
        }
        prop_assert_eq!(all(&found).len(), groups.len());
    }
}

#[test]
fn time_goes_from_search_to_report_and_equal_times_are_not_torn() {
    let table = "id,day\nd,4\nb,2\nc,2\na,1\nf,30\ne,5\n";
    let declared = Splits { time: Some("day".to_owned()), ..declared([1.0, 1.0, 1.0]) };
    let found = deal(table, &declared).unwrap();
    // b and c are of one day; 30 comes after 5 as a number.
    assert_eq!(found.search, ["a", "b", "c"]);
    assert_eq!((found.select, found.report), (vec!["d".to_owned()], vec!["e".into(), "f".into()]));
}

#[test]
fn a_column_can_name_the_splits() {
    let table = "name\tpart\nx\tselect\ny\tsearch\nz\tsearch\n";
    let declared = Splits {
        items: "items.tsv".to_owned(),
        id: "name".to_owned(),
        column: Some("part".to_owned()),
        ..declared([1.0, 1.0, 1.0])
    };
    let mut found = deal(table, &declared).unwrap();
    found.search.sort();
    assert_eq!((found.search.join(" ").as_str(), found.select.join(" ").as_str()), ("y z", "x"));
    let wrong = table.replace("select", "test");
    assert!(deal(&wrong, &declared).unwrap_err().contains("line 2: `test` is no split"));
}

#[test]
fn the_deal_is_a_function_of_seed_and_table_and_of_nothing_that_is_public() {
    let table = |hidden: &str| {
        let lines: Vec<String> = (0..60).map(|i| format!("{i},{hidden}")).collect();
        format!("id,label\n{}\n", lines.join("\n"))
    };
    let declared = declared([1.0, 1.0, 1.0]);
    let found = deal(&table("a"), &declared).unwrap();
    assert_eq!(found, deal(&table("a"), &declared).unwrap());
    assert_ne!(found, deal(&table("b"), &declared).unwrap());
    assert_ne!(found, deal(&table("a"), &Splits { seed: 1, ..declared }).unwrap());
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let plain = declared([1.0, 1.0, 1.0]);
    let told = |table: &str, declared: &Splits| deal(table, declared).unwrap_err();
    assert!(told("name\nx\n", &plain).contains("no column `id` among name"));
    assert!(told("id\nx\nx\n", &plain).contains("line 3: the id `x`"));
    assert!(told("id\nx\n", &plain).contains("leave none for the select split"));
    assert!(told("id,label\nx\n", &plain).contains("line: 2"));
}
