//! Training: weights and calibration against scikit-learn and SciPy, and the model that comes with the program against
//! its own table.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};

use hypocenter::model::{BUILTIN, Model};
use hypocenter::train::train;

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn near(found: f64, expected: f64, within: f64, what: &str) {
    assert!((found - expected).abs() <= within, "{what}: {found}, expected {expected}");
}

/// scikit-learn 1.9.1: `LogisticRegression(fit_intercept=False, C=1.0, tol=1e-12)` on the pairs of
/// `tests/fixtures/training.csv` and their mirror images, signs divided by the root of 3000, beside their sum;
/// coefficients over that of the sum. SciPy 1.17.1: `optimize.minimize_scalar(method='bounded', bounds=(.25, 8))` of the
/// mean log loss over cases, each predicted by the regression on the two other systems. Calibration error by NumPy.
#[test]
fn weights_temperature_and_calibration_are_those_of_scikit_learn_and_scipy() {
    let model = train(&file("tests/fixtures/training.csv")).unwrap().model;
    let weights = [
        ("attribution", 1.0103),
        ("resources", 1.0024),
        ("behaviour", 0.9952),
        ("network", 0.9987),
        ("structure", 0.9987),
        ("logs", 0.9936),
        ("changes", 0.9994),
        ("support", 1.0021),
    ];
    for (name, expected) in weights {
        near(model.weights[name], expected, 0.0006, name);
    }
    near(model.none, 3.8182, 0.001, "none");
    near(model.none_when_calm, 3.5606, 0.001, "none when calm");
    near(model.unseen, 2.0847, 0.001, "unseen");
    near(model.unseen_when_calm, -2.2062, 0.001, "unseen when calm");
    near(model.temperature, 2.4952, 0.001, "temperature");
    near(model.held_out.right, 0.8667, 0.0001, "right");
    near(model.held_out.calibration_error, 0.1034, 0.001, "calibration error");
    near(model.held_out.log_loss, 0.5552, 0.0001, "log loss");
    assert_eq!((model.training.incidents.len(), model.training.quiet.values().sum::<usize>()), (3, 11));
}

#[test]
fn the_model_that_comes_with_the_program_is_reproduced_to_the_byte() {
    let trained = train(&file("models/fusion.csv")).unwrap();
    assert_eq!(trained.model.to_json(), BUILTIN);
    assert_eq!(trained.card, file("models/fusion.md"));
    assert_eq!(trained.table, file("models/fusion.csv"));
    let model = Model::parse(BUILTIN, Path::new("models/fusion.json")).unwrap();
    assert!(model.held_out.calibration_error <= 0.05, "{:?}", model.held_out);
}

#[test]
fn a_sign_that_often_speaks_against_its_service_weighs_less() {
    let mut table = String::from(
        "case,system,quiet,calm,cause,attribution,resources,behaviour,network,structure,logs,changes,support\n",
    );
    for case in 0..2000 {
        let system = if case % 2 == 0 { "a" } else { "b" };
        table.push_str(&format!("{case},{system},0,0,1,6,0,0,0,0,0,0,0\n{case},{system},0,0,0,1,0,0,5,0,0,0,0\n"));
    }
    let model = train(&table).unwrap().model;
    let [network, attribution, unseen] = ["network", "attribution", "logs"].map(|name| model.weights[name]);
    assert!(network < unseen && unseen < attribution, "{:?}", model.weights);
    assert!(model.weights.values().all(|weight| *weight >= 0.0), "{:?}", model.weights);
}

#[test]
fn tables_that_cannot_be_used_say_why() {
    let good = file("tests/fixtures/training.csv");
    let error = |table: &str| train(table).unwrap_err().to_string();
    assert!(error("a,b\n1,2\n").contains("has the columns a,b; expected case,system"));
    let cell = good.replacen("\n1,b,0,", "\n1,b,yes,", 1);
    assert!(error(&cell).contains("quiet is `yes`"), "{}", error(&cell));
    let one: Vec<&str> = good.lines().filter(|line| line.starts_with("case") || line.contains(",a,")).collect();
    assert!(error(&one.join("\n")).contains("at least 2"), "{}", error(&one.join("\n")));
}
