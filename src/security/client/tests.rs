use http::HeaderValue;

use super::*;
use crossmarket_domain::Timestamp;

fn client(name: &str, keys: &[(&str, Option<Timestamp>)], certificate: &str, scope: Scope) -> ClientSettings {
    let entry = |(key, end): &(&str, Option<Timestamp>)| KeyEntry { hash: KeyHash::of(key.as_bytes()), end: *end };
    ClientSettings {
        name: name.to_owned(),
        keys: keys.iter().map(entry).collect(),
        certificate_names: vec![certificate.to_owned()],
        scopes: Scopes::of(&[scope]),
        quotas: Quotas::default(),
    }
}

fn clients() -> Clients {
    let past = Some(Timestamp::from_seconds(1));
    let future = Some(Timestamp::from_seconds(i64::from(u32::MAX)));
    let configured = vec![
        client("a", &[("key-a1", None), ("key-a2", future), ("key-a3", past)], "a.example", Scope::Prices),
        client("b", &[("key-b1", None)], "spiffe://b", Scope::Catalog),
    ];
    Clients::new(true, configured, None, Quotas::default())
}

fn identify(clients: &Clients, headers: &[(&'static str, &str)], names: &[&str]) -> Result<Caller, Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let peer = Peer { address: None, certificate_names: names.into() };
    clients.identify(&map, Some(&peer), Instant::now())
}

#[test]
fn keys_and_certificates_say_who_calls() {
    let clients = clients();
    let check = |headers: &[(&'static str, &str)], names: &[&str], expected: Result<Scope, Refusal>| {
        let found = identify(&clients, headers, names);
        match (found, expected) {
            (Ok(caller), Ok(scope)) => {
                let others = Scope::ALL.into_iter().filter(|other| *other != scope);
                assert!(caller.may(scope) && others.into_iter().all(|other| !caller.may(other)), "{headers:?}");
            }
            (Err(refusal), Err(expected)) => assert_eq!(refusal, expected, "{headers:?} {names:?}"),
            (found, _) => panic!("{headers:?} {names:?}: {found:?}"),
        }
    };
    check(&[("x-api-key", "key-a1")], &[], Ok(Scope::Prices));
    check(&[("x-api-key", "key-a2")], &[], Ok(Scope::Prices));
    check(&[("x-api-key", "key-b1")], &[], Ok(Scope::Catalog));
    check(&[("x-api-key", "key-a3")], &[], Err(Refusal::Expired));
    check(&[("x-api-key", "key-a")], &[], Err(Refusal::Invalid));
    check(&[("x-api-key", "")], &[], Err(Refusal::Invalid));
    check(&[("x-api-key", &"k".repeat(KEY_LEN_MAX + 1))], &[], Err(Refusal::Invalid));
    check(&[], &[], Err(Refusal::Missing));
    check(&[], &["other.example", "spiffe://b"], Ok(Scope::Catalog));
    check(&[], &["other.example"], Err(Refusal::Invalid));
    // A certificate does not make up for a bad key, nor one of two keys for the other.
    check(&[("x-api-key", "wrong")], &["a.example"], Err(Refusal::Invalid));
    check(&[("x-api-key", "key-a1"), ("x-api-key", "key-b1")], &[], Err(Refusal::Invalid));
    // Nobody has configured tokens.
    check(&[("authorization", "Bearer key-a1")], &[], Err(Refusal::Invalid));
    check(&[("authorization", "short")], &[], Err(Refusal::Invalid));
}

#[test]
fn replaced_clients_go_on_with_what_they_have_used() {
    let quotas = |calls| Quotas { calls_per_second: Some(calls), ..Quotas::default() };
    let with = |calls| ClientSettings { quotas: quotas(calls), ..client("a", &[("key-a1", None)], "a", Scope::Prices) };
    let clients = Clients::new(true, vec![with(1)], None, Quotas::default());
    let now = Instant::now();
    let call = || identify(&clients, &[("x-api-key", "key-a1")], &[]).map(|caller| caller.usage().call(now).is_ok());
    assert_eq!((call(), call()), (Ok(true), Ok(false)));
    clients.replace(vec![with(1), client("b", &[("key-b1", None)], "b", Scope::Catalog)]);
    assert_eq!(call(), Ok(false), "a change of the file gives no new calls");
    clients.replace(vec![with(2)]);
    assert_eq!(call(), Ok(true), "new quotas do");
    clients.replace(Vec::new());
    assert_eq!(call(), Err(Refusal::Invalid), "nobody left is not everybody");
}

#[test]
fn anybody_may_call_where_nobody_is_configured_and_each_address_has_its_quota() {
    let quotas = Quotas { calls_per_second: Some(1), ..Quotas::default() };
    let clients = Clients::new(false, Vec::new(), None, quotas);
    let now = Instant::now();
    let call = |address: &str| {
        let peer = Peer { address: Some(address.parse().expect("an address")), certificate_names: Arc::default() };
        let caller = clients.identify(&HeaderMap::new(), Some(&peer), now).expect("anybody");
        assert!(caller.has_any_of(Scopes::ALL));
        caller.usage().call(now).is_ok()
    };
    assert!(call("192.0.2.1:1") && call("192.0.2.2:1") && call("[2001:db8::1]:1") && call("[2001:db8:0:1::1]:1"));
    assert!(!call("192.0.2.1:2"), "another connection of the same address");
    assert!(!call("[::ffff:192.0.2.1]:3"), "the same address in another notation");
    assert!(!call("[2001:db8::2]:1"), "the same network");
}
