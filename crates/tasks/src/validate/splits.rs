//! Splits: a table that recipe code does not see, and one way of dealing it.

use empiric_core::{
    Splits,
    task::{Data, Visible},
};

use super::Check;
use crate::{
    files,
    input::{At, SplitsTable},
};

impl Check<'_> {
    pub(super) fn splits(
        &mut self,
        table: &At<SplitsTable>,
        data: &[Data],
        evaluated: bool,
    ) -> Option<Splits> {
        let declared = table.get();
        let items = declared.items.as_ref()?;
        if !evaluated {
            self.problems
                .add(table.span(), "`[splits]` without `[evaluator]`")
                .label("nobody scores items")
                .help("splits are given to the evaluator alone; add one");
        }
        let hidden = |data: &Data| {
            data.visible == Visible::Evaluator && files::within(items.get(), &data.path)
        };
        if !data.iter().any(hidden) {
            self.problems
                .add(items.span(), format!("`{}` lies in no data of the evaluator's alone", items.get()))
                .label("recipe code would see it, or it is nowhere")
                .help("put it below a `[[data]]` with `visible = \"evaluator\"`: who knows the table knows the splits");
        }
        let SplitsTable { stratify, group, time, column, .. } = declared;
        let instead = |rule: &Option<At<String>>| rule.as_ref().map(At::span);
        let dealing = [("stratify", instead(stratify)), ("group", instead(group))];
        let beside = dealing.into_iter().chain([("time", instead(time))]);
        for (name, span) in beside {
            let Some(span) = span else { continue };
            let other = match (time, column) {
                (_, Some(_)) => "column",
                (Some(_), None) if name != "time" => "time",
                (Some(_) | None, None) => continue,
            };
            self.problems
                .add(span, format!("`{name}` has no effect beside `{other}`"))
                .label("never read")
                .help("remove one of the two");
        }
        let weights = [&declared.search, &declared.select, &declared.report];
        let least = [f64::MIN_POSITIVE, f64::MIN_POSITIVE, 0.0];
        for (weight, least) in weights.into_iter().zip(least) {
            let Some(weight) = weight else { continue };
            if !(*weight.get() >= least && weight.get().is_finite()) {
                self.problems
                    .add(weight.span(), format!("{} is no share", weight.get()))
                    .label("must be positive; `report` may be 0");
            }
        }
        let text = |column: &Option<At<String>>| column.as_ref().map(|name| name.get().clone());
        Some(Splits {
            items: items.get().clone(),
            id: text(&declared.id).unwrap_or_else(|| "id".to_owned()),
            weights: weights.map(|weight| weight.as_ref().map_or(1.0, |weight| *weight.get())),
            stratify: text(stratify),
            group: text(group),
            time: text(time),
            column: text(column),
            seed: declared.seed.unwrap_or(0),
        })
    }
}
