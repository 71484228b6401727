//! One node for one thing: callers name what they call differently, and where it is certain that they mean the same, the
//! names are joined.
//!
//! Certain are: a host in other case, as `db` and as `db.prod.svc.cluster.local` while no other `db` is known; an address
//! that spans name together with one host; a host with and without its port while nothing else runs on that host; a
//! database of one system and name while it is seen on one host only; a host that has the name of a service with spans.
//! What is not certain stays apart: two hosts are two databases, even with equal names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::telemetry::id::ServiceId;
use crate::telemetry::span::{Peer, PeerKind, SpanTable};

/// The nodes that peers stand for.
pub(super) struct PeerNames {
    /// By peer key.
    pub(super) nodes: Vec<ServiceId>,
    /// Other names of nodes: hosts, addresses and database names that mean one node only. Sorted.
    pub(super) aliases: Vec<(ServiceId, ServiceId)>,
}

impl PeerNames {
    pub(super) fn new(spans: &SpanTable) -> Self {
        let services = Services::new(spans.resources().iter().map(|resource| resource.service.as_str()));
        let hosts = Hosts::new(spans.peers());
        let nodes: Vec<ServiceId> =
            spans.peers().iter().map(|peer| ServiceId::new(&hosts.node(peer, &services))).collect();
        Self { aliases: aliases(spans.peers(), &nodes, &hosts), nodes }
    }
}

/// What is known of the hosts that peers are on.
struct Hosts {
    /// For each short name the namespaces of Kubernetes in which it was seen.
    namespaces: BTreeMap<String, BTreeSet<String>>,
    /// For each address the hosts that spans name together with it.
    of_address: BTreeMap<String, BTreeSet<String>>,
    /// Ports by what is on the host (nothing known of externals) and host.
    ports: BTreeMap<(String, String), BTreeSet<u16>>,
    /// Hosts of each database that has a name, with their ports where these tell apart.
    of_database: BTreeMap<String, BTreeSet<String>>,
}

impl Hosts {
    fn new(peers: &[Peer]) -> Self {
        let mut hosts = Self {
            namespaces: BTreeMap::new(),
            of_address: BTreeMap::new(),
            ports: BTreeMap::new(),
            of_database: BTreeMap::new(),
        };
        let placed = || peers.iter().filter(|peer| !peer.place.host.is_empty());
        for peer in placed() {
            if let Some((name, namespace)) = in_kubernetes(&peer.place.host) {
                hosts.namespaces.entry(name.to_owned()).or_default().insert(namespace.to_owned());
            }
        }
        for peer in placed().filter(|peer| !peer.place.address.is_empty() && !is_address(&peer.place.host)) {
            let host = hosts.short(&peer.place.host);
            hosts.of_address.entry(peer.place.address.clone()).or_default().insert(host);
        }
        for peer in placed().filter(|peer| peer.place.port != 0) {
            let key = (system(peer).to_owned(), hosts.canonical(&peer.place.host));
            hosts.ports.entry(key).or_default().insert(peer.place.port);
        }
        for peer in placed().filter(|peer| peer.kind == PeerKind::Database) {
            let label = hosts.label(peer);
            hosts.of_database.entry(base(peer).to_owned()).or_default().insert(label);
        }
        hosts
    }

    /// The name of the node that a peer stands for.
    fn node(&self, peer: &Peer, services: &Services<'_>) -> String {
        match peer.kind {
            PeerKind::Queue => peer.name.clone(),
            PeerKind::Service => services.named(&peer.name).unwrap_or_else(|| peer.name.clone()),
            PeerKind::External if peer.place.host.is_empty() => {
                services.named(&peer.name).unwrap_or_else(|| peer.name.clone())
            }
            PeerKind::External => services.at(&peer.place.host).unwrap_or_else(|| self.label(peer)),
            PeerKind::Database if peer.place.host.is_empty() => peer.name.clone(),
            PeerKind::Database => {
                let base = base(peer);
                let only = self.of_database.get(base).is_some_and(|hosts| hosts.len() == 1);
                if only && base.contains('/') { base.to_owned() } else { format!("{base}@{}", self.label(peer)) }
            }
        }
    }

    /// A host under its shortest certain name.
    fn short(&self, host: &str) -> String {
        let known_in = |name: &str| self.namespaces.get(name);
        if let Some((name, namespace)) = in_kubernetes(host) {
            let only = known_in(name).is_some_and(|known| known.len() == 1);
            return if only { name.to_owned() } else { format!("{name}.{namespace}") };
        }
        match host.split_once('.') {
            // As the resolver inside of Kubernetes understands `db.prod`.
            Some((name, namespace)) if known_in(name).is_some_and(|k| k.len() == 1 && k.contains(namespace)) => {
                name.to_owned()
            }
            _ => host.to_owned(),
        }
    }

    /// A host under its shortest certain name, also where only its address was told.
    fn canonical(&self, host: &str) -> String {
        if is_address(host) {
            let named = self.of_address.get(host).filter(|hosts| hosts.len() == 1);
            return named.and_then(BTreeSet::first).cloned().unwrap_or_else(|| host.to_owned());
        }
        self.short(host)
    }

    /// The host, with the port where several of the same system are on it.
    fn label(&self, peer: &Peer) -> String {
        let host = self.canonical(&peer.place.host);
        let key = (system(peer).to_owned(), host);
        let several = peer.place.port != 0 && self.ports.get(&key).is_some_and(|ports| ports.len() > 1);
        let (_, host) = key;
        match several {
            true if host.contains(':') => format!("[{host}]:{}", peer.place.port),
            true => format!("{host}:{}", peer.place.port),
            false => host,
        }
    }
}

/// A database's system and name, without the host.
fn base(peer: &Peer) -> &str {
    let without_host = || peer.name.strip_suffix(peer.place.host.as_str())?.strip_suffix('@');
    without_host().unwrap_or(&peer.name)
}

/// What runs on a host: a database's system; nothing known of others.
fn system(peer: &Peer) -> &str {
    match peer.kind {
        PeerKind::Database => base(peer).split('/').next().unwrap_or_default(),
        PeerKind::Service | PeerKind::Queue | PeerKind::External => "",
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// Name and namespace of `db.prod.svc` and `db.prod.svc.cluster.local`.
fn in_kubernetes(host: &str) -> Option<(&str, &str)> {
    let (name, rest) = host.split_once('.')?;
    let (namespace, rest) = rest.split_once('.')?;
    (rest == "svc" || rest.starts_with("svc.")).then_some((name, namespace))
}

/// Services with spans of their own.
struct Services<'a> {
    all: BTreeSet<&'a str>,
    /// Full names by the name without namespace.
    by_name: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Services<'a> {
    fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let all: BTreeSet<&str> = names.collect();
        let mut by_name: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for full in &all {
            by_name.entry(full.rsplit('/').next().unwrap_or(full)).or_default().insert(full);
        }
        Self { all, by_name }
    }

    /// The service that a caller names, perhaps with its namespace left out or put in.
    fn named(&self, name: &str) -> Option<String> {
        if self.all.contains(name) {
            return Some(name.to_owned());
        }
        let (namespace, short) = name.rsplit_once('/').map_or((None, name), |(n, short)| (Some(n), short));
        let only = self.by_name.get(short).filter(|full| full.len() == 1)?.first()?;
        // `shop/cart` is not `bank/cart`.
        (namespace.is_none() || !only.contains('/')).then(|| (*only).to_owned())
    }

    /// The service behind a host: `cart`, `cart.shop.svc.cluster.local`.
    fn at(&self, host: &str) -> Option<String> {
        match in_kubernetes(host) {
            Some((name, namespace)) => self.named(&format!("{namespace}/{name}")),
            None => self.named(host),
        }
    }
}

/// Other names of databases and externals, each of one node only and not itself a node's name.
fn aliases(peers: &[Peer], nodes: &[ServiceId], hosts: &Hosts) -> Vec<(ServiceId, ServiceId)> {
    let mut known: BTreeMap<String, BTreeSet<&ServiceId>> = BTreeMap::new();
    for (peer, node) in peers.iter().zip(nodes) {
        if !matches!(peer.kind, PeerKind::Database | PeerKind::External) {
            continue;
        }
        let mut add = |alias: String| {
            known.entry(alias).or_default().insert(node);
        };
        let place = &peer.place;
        for host in [&place.host, &place.address, &hosts.canonical(&place.host)] {
            if !host.is_empty() {
                add(host.clone());
                if place.port != 0 {
                    add(format!("{host}:{}", place.port));
                }
            }
        }
        if peer.kind == PeerKind::Database {
            base(peer).split('/').filter(|part| !part.is_empty()).for_each(|part| add(part.to_owned()));
        }
    }
    let names: BTreeSet<&ServiceId> = nodes.iter().collect();
    let only = known.into_iter().filter(|(_, nodes)| nodes.len() == 1);
    let pairs = only.filter_map(|(alias, nodes)| Some((ServiceId::new(&alias), (*nodes.first()?).clone())));
    pairs.filter(|(alias, _)| !names.contains(alias)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::span::Place;

    /// The nodes of peers written `kind name host address port`, in their order; `-` is nothing.
    fn nodes(services: &[&str], peers: &[&str]) -> Vec<String> {
        let mut table = SpanTable::new();
        for service in services {
            table.resource_key(service, "", "");
        }
        for peer in peers {
            let words: Vec<&str> = peer.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
            let kind = match words[0] {
                "db" => PeerKind::Database,
                "queue" => PeerKind::Queue,
                "service" => PeerKind::Service,
                _ => PeerKind::External,
            };
            let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
            let place = Place { host: word(2), address: word(3), port: word(4).parse().unwrap_or(0) };
            table.peer_key_of(Peer { name: words[1].to_owned(), kind, place });
        }
        assert_eq!(table.peers().len(), peers.len(), "each line once");
        PeerNames::new(&table).nodes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_database_under_many_names_is_one_node() {
        let found = nodes(
            &[],
            &[
                "db postgresql/orders db - 5432",
                "db postgresql/orders db.prod.svc.cluster.local - 5432",
                "db postgresql/orders db.prod 10.0.0.7 5432",
                "db postgresql/orders 10.0.0.7 - 5432",
                "db postgresql/orders",
                "db redis@cache cache 10.0.0.8 6379",
                "db redis@10.0.0.8 10.0.0.8 - 6379",
            ],
        );
        assert_eq!(found, [["postgresql/orders"; 5].as_slice(), &["redis@cache"; 2]].concat());
    }

    #[test]
    fn what_may_be_two_stays_apart() {
        let found = nodes(
            &[],
            &[
                "db postgresql/orders pg-1 - 5432",
                "db postgresql/orders pg-2 - 5432",
                "db postgresql/orders",
                "db redis@cache cache - 6379",
                "db redis@cache cache - 6380",
                "db redis",
                "db mysql/a db.x.svc - 3306",
                "db mysql/a db.y.svc - 3306",
                "db mysql/a db - 3306",
                "ext a.example a.example 10.0.0.1", // two hosts behind one address, as behind a proxy
                "ext b.example b.example 10.0.0.1",
                "ext 10.0.0.1 10.0.0.1",
            ],
        );
        let expected = [
            "postgresql/orders@pg-1",
            "postgresql/orders@pg-2",
            "postgresql/orders",
            "redis@cache:6379",
            "redis@cache:6380",
            "redis",
            "mysql/a@db.x",
            "mysql/a@db.y",
            "mysql/a@db",
            "a.example",
            "b.example",
            "10.0.0.1",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn ports_count_where_they_tell_apart() {
        let lone = nodes(&[], &["ext pay.example pay.example - 8443", "ext pay.example pay.example"]);
        assert_eq!(lone, ["pay.example"; 2]);
        let two = ["ext localhost localhost - 8081", "ext localhost localhost - 8082", "ext localhost localhost"];
        assert_eq!(nodes(&[], &two), ["localhost:8081", "localhost:8082", "localhost"]);
        let six = nodes(&[], &["ext ::1 ::1 - 8081", "ext ::1 ::1 - 8082"]);
        assert_eq!(six, ["[::1]:8081", "[::1]:8082"]);
    }

    #[test]
    fn a_host_with_a_services_name_is_that_service() {
        let services = ["cart", "shop/orders", "bank/users", "shop/users"];
        let found = nodes(
            &services,
            &[
                "ext cart.shop.svc cart.shop.svc - 8080",
                "ext cart cart",
                "ext orders.shop.svc.cluster.local orders.shop.svc.cluster.local",
                "ext orders.bank.svc orders.bank.svc",
                "service orders",
                "service users",
                "service bank/users",
                "service shop/cart",
                "ext cart.example cart.example",
                "db redis@cart cart - 6379",
            ],
        );
        let expected = [
            "cart",
            "cart",
            "shop/orders",
            "orders.bank",
            "shop/orders",
            "users",
            "bank/users",
            "cart",
            "cart.example",
            "redis@cart",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn aliases_mean_one_node_only() {
        let mut table = SpanTable::new();
        let place = |host: &str| Place { host: host.to_owned(), address: String::new(), port: 5432 };
        for (name, host) in [("postgresql/orders", "pg-1"), ("postgresql/users", "pg-2"), ("postgresql/carts", "pg-2")]
        {
            table.peer_key_of(Peer { name: name.to_owned(), kind: PeerKind::Database, place: place(host) });
        }
        let aliases = PeerNames::new(&table).aliases;
        let told: Vec<String> = aliases.iter().map(|(alias, node)| format!("{alias} = {node}")).collect();
        let expected = [
            "carts = postgresql/carts",
            "orders = postgresql/orders",
            "pg-1 = postgresql/orders",
            "pg-1:5432 = postgresql/orders",
            "users = postgresql/users",
        ];
        assert_eq!(told, expected);
    }
}
