//! A server that keeps what it is sent, and misbehaves when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::any;
use serde_json::Value;

use crate::server::Serving;

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The names of the fields of the body.
    pub(crate) fn fields(&self) -> Vec<String> {
        self.json().as_object().unwrap().keys().cloned().collect()
    }
}

/// A status, headers and a text.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_owned() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, &body.to_string())
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This is answered and nothing done.
    Answer(Told),
    /// What was asked is done, and the answer is lost.
    Lost,
    /// No answer comes.
    Hang,
}

struct Inner<S> {
    state: Mutex<S>,
    faults: Mutex<VecDeque<Fault>>,
    asked: Mutex<Vec<Asked>>,
}

/// A running server with its state.
pub(crate) struct Fake<S> {
    inner: Arc<Inner<S>>,
    serving: Serving,
}

impl<S: Send + 'static> Fake<S> {
    /// Serves an API that is a function of its state and of what is asked.
    pub(crate) fn start(state: S, api: fn(&mut S, &Asked) -> Told) -> Self {
        let inner = Arc::new(Inner { state: Mutex::new(state), faults: Mutex::default(), asked: Mutex::default() });
        let shared = inner.clone();
        let answer = move |request: Request| {
            let inner = shared.clone();
            async move {
                let asked = read(request).await;
                inner.asked.lock().unwrap().push(asked.clone());
                let fault = inner.faults.lock().unwrap().pop_front();
                let told = match fault {
                    Some(Fault::Answer(told)) => told,
                    Some(Fault::Lost) => {
                        api(&mut inner.state.lock().unwrap(), &asked);
                        Told::new(502, "upstream closed the connection")
                    }
                    Some(Fault::Hang) => {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        Told::new(200, "{}")
                    }
                    None => api(&mut inner.state.lock().unwrap(), &asked),
                };
                let response = Response::builder().status(told.status);
                let response =
                    told.headers.iter().fold(response, |response, (name, value)| response.header(*name, value));
                response.body(Body::from(told.body)).unwrap()
            }
        };
        Self { inner, serving: Serving::start(Router::new().fallback(any(answer))) }
    }

    pub(crate) fn url(&self) -> String {
        self.serving.url()
    }

    pub(crate) fn fails_with(&self, fault: Fault) {
        self.inner.faults.lock().unwrap().push_back(fault);
    }

    pub(crate) fn state<T>(&self, read: impl FnOnce(&mut S) -> T) -> T {
        read(&mut self.inner.state.lock().unwrap())
    }

    /// What came since this was last asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner.asked.lock().unwrap())
    }
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), decoded(v)));
    Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: query.collect(),
        headers: parts.headers,
        body: String::from_utf8(to_bytes(body, 32 << 20).await.unwrap().to_vec()).unwrap(),
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        (bytes, rest) = match first {
            b'%' => {
                let hex = std::str::from_utf8(&after[..2]).unwrap();
                ([bytes, vec![u8::from_str_radix(hex, 16).unwrap()]].concat(), &after[2..])
            }
            b'+' => ([bytes, vec![b' ']].concat(), after),
            other => ([bytes, vec![*other]].concat(), after),
        };
    }
    String::from_utf8(bytes).unwrap()
}
