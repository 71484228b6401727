//! Ranges, steps, and answers that are larger than is taken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use axum::Router;
use axum::routing::post;

use super::*;
use crate::http::Endpoint;

fn window(from_s: i64, to_s: i64) -> Window {
    Window::new(from_s * NANOS_PER_SECOND, to_s * NANOS_PER_SECOND).unwrap()
}

#[test]
fn near_windows_are_one_range_and_far_ones_are_not() {
    let joined = ranges(&[window(10_000, 10_600), window(6_000, 9_000)]);
    assert_eq!(joined, [window(6_000 - 120, 10_600)]);
    assert_eq!(ranges(&[window(900_000, 900_600), window(6_000, 9_000)]).len(), 2);
}

#[test]
fn long_ranges_are_split_without_gap_or_repetition() {
    let mut parts = split(&window(0, 11_001 * 15), 15);
    parts.reverse();
    assert_eq!(parts, [(0, 10_999 * 15), (11_000 * 15, 11_001 * 15 + 1)]);
    assert!(parts.iter().all(|(start, end)| (end - start) / 15 < MOST_POINTS));
    assert_eq!(split(&window(0, 60), 15), [(0, 61)]);
}

#[test]
fn distances_are_scrape_intervals() {
    for (count, expected) in [(41.0, 15), (40.0, 15), (21.0, 30), (20.0, 30), (10.0, 60), (60.0, 10), (600.0, 1)] {
        assert_eq!(snapped(600.0 / count), expected, "{count}");
    }
}

/// Answers with as many samples as are asked for, from what it is not told.
async fn samples(form: String) -> String {
    let number =
        |key: &str| -> i64 { form.split('&').find_map(|pair| pair.strip_prefix(key)).unwrap().parse().unwrap() };
    let (start, end, step) = (number("start="), number("end="), number("step="));
    let values: Vec<String> = (0..=(end - start) / step).map(|n| format!("[{},\"1\"]", start + n * step)).collect();
    let values = values.join(",");
    format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{values}]}}]}}}}"#
    )
}

#[tokio::test]
async fn answers_over_the_limit_are_not_taken_and_halves_are_asked_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/v1/query_range", post(samples));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    let saved = Folder::create(folder.path()).unwrap();
    let pulled = async |most_bytes: usize| {
        let client = Client::new("prometheus", &Endpoint::new(&url)).unwrap().taking(most_bytes);
        metric(&client, (most_bytes, "up"), "up", &[window(0, 3000)], Some(30), &saved).await
    };
    // A sample takes about ten bytes, and what is around them about a hundred.
    assert_eq!(pulled(1 << 20).await.unwrap().len(), 1);
    let parts = pulled(500).await.unwrap();
    let ends: Vec<(f64, f64)> = parts.iter().map(|part| part.held.0.unwrap()).collect();
    assert!(ends.len() >= 4 && ends.windows(2).all(|pair| (pair[1].0 - pair[0].1 - 30.0).abs() < 1e-9), "{ends:?}");
    assert!(ends[0].0.abs() < 1e-9 && (ends[ends.len() - 1].1 - 3000.0).abs() < 30.0, "{ends:?}");
    let message = pulled(50).await.unwrap_err().to_string();
    assert!(
        message.contains("query_range: the answer has more than") && message.contains("shorter windows"),
        "{message}"
    );
}
