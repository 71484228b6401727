//! Who does what is due: analyses, messages, and forgetting what is old.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::analyse::{Analysed, Known, analyse, history, similar};
use super::counters::count;
use super::related::calls_in_store;
use super::tell::{self, Failed};
use super::{Configuration, MOST_ATTEMPTS, Responder, intake, nanoseconds, now_ns};
use crate::explain::{signature, suspect};
use crate::memory::{self, Delivery, Job, MemoryError, Outgoing, ReportRecord};
use crate::notify::{NotDelivered, Retry};
use crate::report::{self, Format};

/// The running workers.
pub struct Workers {
    tasks: JoinSet<()>,
    responder: Arc<Responder>,
}

/// What the memory did not do is tried again after this.
pub(super) const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// However quiet it is, somebody looks so often whether anything is due: clocks are set, machines sleep.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// What is old is forgotten so often.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// Who calls whom is read from the store so often.
const LEARN_CALLS_EVERY: Duration = Duration::from_secs(300);
/// An analysis that failed is made again after this, doubled each time.
const ANALYSE_AGAIN_AFTER: Duration = Duration::from_secs(20);
/// A message that was not taken is sent again after this, doubled each time, …
const SEND_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// … up to this, …
const SEND_AGAIN_WITHIN: Duration = Duration::from_secs(600);
/// … and no more after so many attempts, which is about two days.
const MOST_SENDS: u32 = 300;

impl Workers {
    /// Starts them on the current runtime.
    pub fn start(responder: &Arc<Responder>) -> Self {
        let mut tasks = JoinSet::new();
        for _ in 0..responder.configuration().settings.workers.max(1) {
            tasks.spawn(make_analyses(Arc::clone(responder)));
        }
        tasks.spawn(send_messages(Arc::clone(responder)));
        tasks.spawn(forget(Arc::clone(responder)));
        tasks.spawn(end_unheard(Arc::clone(responder)));
        tasks.spawn(learn_calls(Arc::clone(responder)));
        Self { tasks, responder: Arc::clone(responder) }
    }

    /// Begins nothing new and lets go of what is under way: it is due again at the next start.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        remember(&self.responder, |responder| responder.memory.change(memory::put_back_interrupted)).await;
    }
}

/// Asks or changes the memory without keeping other tasks from running.
pub(super) async fn remember<T: Send + 'static>(
    responder: &Arc<Responder>,
    work: impl FnOnce(&Responder) -> Result<T, MemoryError> + Send + 'static,
) -> Option<T> {
    let responder = Arc::clone(responder);
    match spawn_blocking(move || work(&responder)).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::error!(%error, "the memory of incidents failed; it is tried again");
            sleep(TRY_AGAIN_AFTER).await;
            None
        }
        Err(error) => {
            tracing::error!(%error, "a worker has panicked; it is tried again");
            sleep(TRY_AGAIN_AFTER).await;
            None
        }
    }
}

/// Until something may be due: at the time when it is, or when somebody says so.
async fn until_due(due_ns: Option<i64>, told: impl Future<Output = ()>) {
    let wait = due_ns.map_or(LOOK_AT_LEAST_EVERY, |due_ns| {
        Duration::from_nanos(u64::try_from(due_ns.saturating_sub(now_ns())).unwrap_or(0)).min(LOOK_AT_LEAST_EVERY)
    });
    // Either way it is time to look again.
    timeout(wait, told).await.ok();
}

async fn make_analyses(responder: Arc<Responder>) {
    loop {
        let told = responder.analyses.notified();
        let next = remember(&responder, |responder| {
            responder.memory.change(|transaction| match memory::claim(transaction, now_ns())? {
                Some(job) => Ok(Ok(job)),
                None => Ok(Err(memory::due_next_ns(transaction)?)),
            })
        });
        match next.await {
            Some(Ok(job)) => {
                // Another may be due for another worker.
                responder.analyses.notify_one();
                make(&responder, job).await;
            }
            Some(Err(due_ns)) => until_due(due_ns, told).await,
            None => {}
        }
    }
}

/// Makes one analysis and remembers how it ended.
async fn make(responder: &Arc<Responder>, job: Job) {
    let configuration = responder.configuration();
    let deadline = configuration.settings.deadline;
    let started = Instant::now();
    let (worker, of_worker, id) = (Arc::clone(responder), Arc::clone(&configuration), job.incident);
    let mut work = spawn_blocking(move || {
        let Some(known) = Known::recall(&worker, id).map_err(|error| Failed::here(&error.to_string()))? else {
            return Err(Failed::here("the incident was forgotten"));
        };
        let analysed = analyse(&worker, &of_worker, &known).map_err(|error| Failed::of(&error))?;
        Ok((known, analysed))
    });
    let made = match timeout(deadline, &mut work).await {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => Err(Failed::here(&format!("the analysis has panicked, which is a defect: {error}"))),
        Err(_elapsed) => Err(Failed::too_slow(deadline)),
    };
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    responder.counters.analysis_milliseconds.fetch_add(elapsed, Ordering::Relaxed);
    match made {
        Ok((known, analysed)) => {
            let of_job = job.clone();
            let concluded =
                remember(responder, move |responder| conclude(responder, &configuration, &known, &job, analysed));
            match concluded.await {
                Some((version, conclusion)) => {
                    count(&responder.counters.analyses_done);
                    tracing::info!(incident = id, version, %conclusion, milliseconds = elapsed, "analysed");
                    responder.messages.notify_waiters();
                }
                None => give_up_or_again(responder, of_job, Failed::here("the report could not be kept")).await,
            }
        }
        Err(failed) => give_up_or_again(responder, job, failed).await,
    }
    // One that took too long still runs: the pool stays as small as it was set.
    if !work.is_finished() {
        work.await.ok();
    }
    // Others of the incident may have waited for this one.
    responder.analyses.notify_one();
}

async fn give_up_or_again(responder: &Arc<Responder>, job: Job, failed: Failed) {
    count(&responder.counters.analyses_failed);
    let is_given_up = job.attempts >= MOST_ATTEMPTS;
    tracing::warn!(incident = job.incident, problem = failed.problem, again = !is_given_up, "no analysis");
    // As long as it is noted as being made, nothing else is made of this incident.
    loop {
        let (job, failed) = (job.clone(), failed.clone());
        if remember(responder, move |responder| fail(responder, &job, &failed)).await.is_some() {
            responder.messages.notify_waiters();
            return;
        }
    }
}

/// Makes an analysis that failed due once more, or gives it up and tells that, where there is no more to come soon.
pub(super) fn fail(responder: &Responder, job: &Job, failed: &Failed) -> Result<(), MemoryError> {
    let now_ns = now_ns();
    let after = ANALYSE_AGAIN_AFTER.saturating_mul(1 << job.attempts.min(8).saturating_sub(1));
    let again_ns = (job.attempts < MOST_ATTEMPTS).then(|| now_ns.saturating_add(nanoseconds(after)));
    let messages = match again_ns {
        Some(_) => Vec::new(),
        None => tell::failure(responder, job.incident, failed)?,
    };
    responder.memory.change(|transaction| {
        memory::fail(transaction, job.id, &failed.problem, again_ns, now_ns)?;
        messages.iter().try_for_each(|message| memory::enqueue(transaction, message, now_ns))
    })
}

/// Remembers a report together with the end of its job and its messages.
pub(super) fn conclude(
    responder: &Responder,
    configuration: &Configuration,
    known: &Known,
    job: &Job,
    analysed: Analysed,
) -> Result<(u32, String), MemoryError> {
    let Analysed { mut diagnosis, edges } = analysed;
    let signature = signature(&diagnosis);
    let alike = similar(responder, job.incident, signature.as_deref())?;
    let history = history(known, &diagnosis, alike);
    let (version, changed) = (history.version, history.changed.clone());
    // As it is now, and not as it was when the analysis began.
    let (now, told) = responder.memory.read(|transaction| {
        Ok::<_, MemoryError>((memory::incident(transaction, job.incident)?, memory::told(transaction, job.incident)?))
    })?;
    let condition = now.map_or(known.incident.condition, |now| now.condition);
    // Sinks say in their own place what went before.
    let messages = tell::report(responder, configuration, known, (condition, &told), &diagnosis, &history);
    diagnosis.history = Some(history);
    let first = diagnosis.causes.first();
    let record = ReportRecord {
        incident: job.incident,
        version,
        job: job.id,
        made_ns: now_ns(),
        condition,
        verdict: diagnosis.verdict.word().to_owned(),
        cause: first.map(suspect),
        probability: first.map(|cause| cause.candidate.probability),
        signature: signature.unwrap_or_default(),
        changed: changed.clone(),
        json: report::to_text(&diagnosis, Format::Json),
        markdown: report::to_text(&diagnosis, Format::Markdown),
        text: report::to_text(&diagnosis, Format::Text { colour: false, width: report::DEFAULT_WIDTH }),
    };
    responder.memory.change(|transaction| {
        memory::insert_report(transaction, &record)?;
        memory::finish(transaction, job.id, record.made_ns)?;
        let edges = edges.iter().map(|(caller, callee)| (caller.as_str(), callee.as_str()));
        memory::see_edges(transaction, edges, record.made_ns)?;
        messages.iter().try_for_each(|message| memory::enqueue(transaction, message, record.made_ns))
    })?;
    let cause = record.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    Ok((version, format!("{}{cause}", record.verdict)))
}

/// A task for each sink, so that one that hangs holds up no other.
async fn send_messages(responder: Arc<Responder>) {
    let mut tasks: JoinSet<String> = JoinSet::new();
    let mut names = BTreeSet::new();
    loop {
        for sink in &responder.configuration().sinks {
            if names.insert(sink.name.clone()) {
                tasks.spawn(send_to(Arc::clone(&responder), sink.name.clone()));
            }
        }
        let told = responder.messages.notified();
        tokio::select! {
            () = until_due(None, told) => {}
            Some(Ok(name)) = tasks.join_next(), if !tasks.is_empty() => {
                names.remove(&name);
            }
        }
    }
}

/// Sends what is due to a sink, until the settings name it no more; then gives its name back.
async fn send_to(responder: Arc<Responder>, name: String) -> String {
    loop {
        let told = responder.messages.notified();
        let configuration = responder.configuration();
        let Some(sink) = configuration.sinks.iter().find(|sink| sink.name == name) else { return name };
        let of_sink = name.clone();
        let next = remember(&responder, move |responder| {
            responder.memory.change(|transaction| match memory::next_delivery(transaction, &of_sink, now_ns())? {
                Some(delivery) => Ok(Ok(delivery)),
                None => Ok(Err(memory::due_delivery_ns(transaction, &of_sink)?)),
            })
        });
        match next.await {
            Some(Ok(delivery)) => {
                // In a task of its own: one that panics is one that was not taken.
                let (sink, of_sink) = (sink.clone(), delivery.clone());
                let sending = tokio::spawn(async move {
                    let Delivery { message, mark, is_repeated, .. } = &of_sink;
                    sink.deliver(&message.payload, mark.as_deref(), *is_repeated).await
                });
                let sent = sending.await.unwrap_or_else(|error| {
                    Err(NotDelivered { retry: Retry::Later, problem: format!("a defect of this program: {error}") })
                });
                note(&responder, delivery, sent).await;
            }
            Some(Err(due_ns)) => until_due(due_ns, told).await,
            None => {}
        }
    }
}

/// Notes what a sink answered.
pub(super) async fn note(responder: &Arc<Responder>, delivery: Delivery, sent: Result<Option<String>, NotDelivered>) {
    let Outgoing { sink, incident, version, .. } = &delivery.message;
    let counters = &responder.counters;
    match &sent {
        Ok(_) => {
            count(&counters.messages_sent);
            tracing::info!(sink, incident, version, "sent");
        }
        Err(NotDelivered { problem, .. }) => {
            count(&counters.messages_not_taken);
            tracing::warn!(sink, incident, version, problem, "not taken");
        }
    }
    let attempts = delivery.attempts + 1;
    let after = SEND_AGAIN_AFTER.saturating_mul(1 << delivery.attempts.min(10)).min(SEND_AGAIN_WITHIN);
    let given_up = remember(responder, move |responder| {
        responder.memory.change(|transaction| match sent {
            Ok(mark) => memory::delivered(transaction, &delivery, mark.as_deref()).map(|()| false),
            Err(NotDelivered { retry: Retry::Never, problem }) => {
                memory::give_up(transaction, delivery.id, &problem).map(|()| true)
            }
            Err(NotDelivered { problem, .. }) if attempts >= MOST_SENDS => {
                memory::give_up(transaction, delivery.id, &problem).map(|()| true)
            }
            Err(NotDelivered { retry, problem }) => {
                let again_ns = |after| now_ns().saturating_add(nanoseconds(after));
                let mut after = after;
                if let Retry::After(told) = retry {
                    after = after.max(told);
                    // Whoever asks to be left alone is left alone with all of them.
                    memory::leave_alone(transaction, &delivery.message.sink, again_ns(told))?;
                }
                memory::not_delivered(transaction, delivery.id, &problem, again_ns(after)).map(|()| false)
            }
        })
    });
    if given_up.await == Some(true) {
        count(&responder.counters.messages_given_up);
    }
}

/// Before anything was analysed, who calls whom is known from the own store.
async fn learn_calls(responder: Arc<Responder>) {
    loop {
        let learned = remember(&responder, |responder| {
            let now_ns = now_ns();
            let edges = calls_in_store(&responder.configuration().origin, now_ns);
            let edges = edges.iter().map(|(caller, callee)| (caller.as_str(), callee.as_str()));
            responder.memory.change(|transaction| memory::see_edges(transaction, edges, now_ns))
        });
        learned.await;
        sleep(LEARN_CALLS_EVERY).await;
    }
}

async fn end_unheard(responder: Arc<Responder>) {
    loop {
        let ended = remember(&responder, |responder| {
            let (settings, now_ns) = (&responder.configuration().settings, now_ns());
            // Who did not run has not heard.
            match now_ns.saturating_sub(responder.started_ns) < nanoseconds(settings.unheard_after) {
                true => Ok(Vec::new()),
                false => intake::end_unheard(&responder.memory, settings, now_ns),
            }
        });
        if let Some(incidents) = ended.await.filter(|incidents| !incidents.is_empty()) {
            tracing::info!(?incidents, "taken for ended, since nothing was heard of their alerts for long");
            responder.analyses.notify_one();
        }
        sleep(LOOK_AT_LEAST_EVERY).await;
    }
}

async fn forget(responder: Arc<Responder>) {
    loop {
        let forgotten = remember(&responder, |responder| {
            let before_ns = now_ns().saturating_sub(nanoseconds(responder.configuration().settings.keep));
            responder.memory.change(|transaction| memory::delete_before(transaction, before_ns))
        });
        if let Some(incidents @ 1..) = forgotten.await {
            tracing::info!(incidents, "forgotten, as they ended long ago");
        }
        sleep(FORGET_EVERY).await;
    }
}
