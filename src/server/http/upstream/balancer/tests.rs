//! Tests of the choice of servers.

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

fn upstream(servers: &[&str], balancing: Balancing) -> Arc<Upstream> {
    let server = |text: &&str| {
        let mut words = text.split(' ');
        let port: u16 = words
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        let mut server = UpstreamServer::new(ServerAddress::Ip(([127, 0, 0, 1], port).into()));
        for word in words {
            match word.split_once('=').unwrap_or((word, "0")) {
                ("weight", weight) => server.weight = weight.parse().expect("a number"),
                ("max_fails", fails) => server.max_fails = fails.parse().expect("a number"),
                ("backup", _) => server.is_backup = true,
                (_, _) => server.is_down = true,
            }
        }
        server
    };
    let servers = servers.iter().map(server).collect();
    Arc::new(Upstream {
        name: "up".to_owned(),
        servers,
        balancing,
        keeps_state: true,
        keepalive: 0,
        unsupported: None,
    })
}

fn port(attempt: &Attempt) -> u16 {
    match attempt.address() {
        PeerAddress::Tcp(address) => address.port(),
        PeerAddress::Unix(_) => 0,
    }
}

/// The ports of the servers that requests go to, each of which takes its time.
async fn ports(balancer: &Balancer, upstream: &Arc<Upstream>, count: usize) -> Vec<Option<u16>> {
    let mut ports = Vec::new();
    for _ in 0..count {
        let mut selection = balancer.select(upstream, None, LIMIT).await;
        let attempt = selection.next();
        attempt
            .iter()
            .for_each(|attempt| selection.record_success(attempt));
        ports.push(attempt.as_ref().map(port));
    }
    ports
}

#[tokio::test]
async fn servers_are_tried_in_the_order_of_nginx() {
    // As seen with nginx 1.22.
    let expected = [1, 1, 2, 1, 1, 1, 2, 1].map(Some);
    for balancing in [Balancing::RoundRobin, Balancing::LeastConnections] {
        let upstream = upstream(&["1 weight=3", "2"], balancing);
        assert_eq!(ports(&Balancer::default(), &upstream, 8).await, expected);
    }
}

#[tokio::test]
async fn backups_and_servers_that_are_down_wait() {
    let upstream = upstream(&["1 down", "2", "3 backup"], Balancing::RoundRobin);
    let balancer = Balancer::default();
    let mut selection = balancer.select(&upstream, None, LIMIT).await;
    let first = selection.next().expect("the one that is up");
    assert_eq!(port(&first), 2);
    selection.record_failure(&first);
    assert_eq!(selection.next().as_ref().map(port), Some(3));
    assert!(selection.next().is_none());
    assert_eq!(
        ports(&balancer, &upstream, 2).await,
        [Some(3), Some(3)],
        "the failure is remembered"
    );
}

#[tokio::test]
async fn failures_leave_a_server_out_unless_it_is_alone_or_may_fail() {
    for (servers, expected) in [
        (&["1"][..], Some(1)),
        (&["1 max_fails=0", "2 down"], Some(1)),
        (&["1", "2 down"], None),
    ] {
        let upstream = upstream(servers, Balancing::RoundRobin);
        let balancer = Balancer::default();
        let mut selection = balancer.select(&upstream, None, LIMIT).await;
        let attempt = selection.next().expect("it is tried at first");
        selection.record_failure(&attempt);
        assert_eq!(
            ports(&balancer, &upstream, 1).await,
            [expected],
            "{servers:?}"
        );
    }
}

#[tokio::test]
async fn keys_lead_to_one_server_until_it_fails() {
    let upstream = upstream(&["1", "2", "3"], Balancing::ClientAddress);
    let balancer = Balancer::default();
    let mut reached = Vec::new();
    for key in 0..50 {
        let mut chosen = Vec::new();
        for _ in 0..3 {
            chosen.push(
                balancer
                    .select(&upstream, Some(key), LIMIT)
                    .await
                    .next()
                    .as_ref()
                    .map(port),
            );
        }
        assert!(chosen.iter().all(|port| *port == chosen[0]), "{chosen:?}");
        let mut selection = balancer.select(&upstream, Some(key), LIMIT).await;
        let first = selection.next().as_ref().map(port);
        assert_ne!(selection.next().as_ref().map(port), first);
        reached.extend(first);
    }
    assert!([1, 2, 3].iter().all(|port| reached.contains(port)));
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_now_keeps_its_addresses() {
    let mut upstream = Upstream::clone(&upstream(&["1", "2"], Balancing::RoundRobin));
    upstream.servers[0].address = ServerAddress::Name("one".to_owned(), 1);
    let id = |server: usize| PeerId {
        server,
        address: PeerAddress::Tcp(([127, 0, 0, 1], [1, 2][server]).into()),
    };
    let mut group = PeerGroup::default();
    group.replace(
        Resolved {
            ids: vec![id(0), id(1)],
            unresolved: Vec::new(),
        },
        &upstream,
    );
    group.peers[0].fails = 1;
    group.replace(
        Resolved {
            ids: vec![id(1)],
            unresolved: vec![0],
        },
        &upstream,
    );
    let mut kept: Vec<_> = group
        .peers
        .iter()
        .map(|peer| (peer.id.server, peer.fails))
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, [(0, 1), (1, 0)]);
    group.replace(
        Resolved {
            ids: vec![id(1)],
            unresolved: Vec::new(),
        },
        &upstream,
    );
    assert_eq!(group.peers.len(), 1, "the name stands for nothing any more");
}
