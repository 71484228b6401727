//! The model card: what a model is for, what it was trained on, how far it can be trusted.

use std::fmt::Write as _;

use super::calibrate::Figures;
use crate::model::Model;

/// The card in Markdown. The same model gives the same bytes.
pub(super) fn card(model: &Model, figures: &Figures) -> String {
    let mut text = String::from(INTRODUCTION);
    let mut line = |args: std::fmt::Arguments| {
        text.write_fmt(args).expect("text can always grow");
        text.push('\n');
    };
    line(format_args!("| sign | weight |\n| --- | --- |"));
    for (sign, weight) in &model.weights {
        line(format_args!("| {sign} | {weight:.3} |"));
    }
    line(format_args!("| none of the candidates (bits) | {:.3} |", model.none));
    line(format_args!("| … added where no symptom passes the gate | {:.3} |", model.none_when_calm));
    line(format_args!("| a cause that shows nothing (bits) | {:.3} |", model.unseen));
    line(format_args!("| … added where no symptom passes the gate | {:.3} |", model.unseen_when_calm));
    line(format_args!("\nTemperature: {:.3} bits double the odds.\n", model.temperature));
    line(format_args!(
        "## Trained on\n\n| system | incidents | quiet cases | right when left out |\n| --- | --- | --- | --- |"
    ));
    for (system, right) in &figures.by_system {
        let count = |of: &std::collections::BTreeMap<String, usize>| of.get(system).copied().unwrap_or(0);
        let (incidents, quiet) = (count(&model.training.incidents), count(&model.training.quiet));
        line(format_args!("| {system} | {incidents} | {quiet} | {right:.3} |"));
    }
    let held_out = &model.held_out;
    line(format_args!("\nSHA-256 of the table: `{}`\n", model.training.table_sha256));
    line(format_args!("## Calibration\n"));
    line(format_args!(
        "Each of the {} cases was predicted by a model trained without its system. The likeliest answer (a service with\n\
         evidence, or that nothing was wrong) was right in {:.3} of them; expected calibration error {:.4}, log loss {:.4} nats.\n",
        held_out.cases, held_out.right, held_out.calibration_error, held_out.log_loss
    ));
    line(format_args!("| probability | cases | mean | right | |\n| --- | --- | --- | --- | --- |"));
    for bin in &figures.calibration.bins {
        let (Some(mean), Some(right)) = (bin.mean_confidence, bin.share_right) else { continue };
        let bar = "█".repeat((right * 20.0).round() as usize);
        let (low, high) = (bin.low, bin.high);
        line(format_args!("| {low:.1} to {high:.1} | {} | {mean:.2} | {right:.2} | {bar} |", bin.statements));
    }
    text
}

const INTRODUCTION: &str = "\
# The fusion model

Written by `hypocenter train`; do not edit. It weighs bits of evidence about each service, by kind, against each other,
against \"nothing was wrong\" and against \"a service that shows nothing\": a conditional logit with a weight for each kind,
none below 0, and one temperature.

It sees no names, no counts of services, no positions. It is meant for ranking the services of one incident. It is no
measure of how bad an incident is. Of faults that leave none of these signs it knows only how often they happened.

## Weights

";
