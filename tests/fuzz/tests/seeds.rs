//! The seeds reach every message: a new kind has a golden frame, or this fails.

use std::collections::BTreeSet;

use plasmad_fuzz::targets::TARGETS;
use plasmad_fuzz::{messages, seeds};
use plasmad_wire::{ErrorCode, Request, Response};

#[test]
fn every_kind_is_decoded_from_the_seeds() {
    let seeds = [seeds::of("request"), seeds::of("response")].concat();
    let decoded: BTreeSet<u16> = seeds.iter().filter_map(|seed| messages::kind(seed)).collect();
    let missing: Vec<String> = messages::kinds()
        .into_iter()
        .filter(|kind| !decoded.contains(kind))
        .map(|kind| format!("{kind:#06x}"))
        .collect();
    assert!(missing.is_empty(), "kinds without a golden frame in protocol/vectors: {missing:?}");
    assert!(decoded.len() > Request::KINDS.len(), "{decoded:?}");
    println!("{} kinds, all decoded", decoded.len());
}

#[test]
fn every_error_code_is_decoded_from_the_seeds() {
    let codes = seeds::of("response").into_iter().filter_map(|seed| {
        let kind = u16::from_le_bytes([seed[0], seed[1]]);
        match Response::decode(kind, &seed[2..]) {
            Some(Ok(Response::Error(body))) => Some(body.code),
            _ => None,
        }
    });
    assert_eq!(codes.collect::<BTreeSet<_>>(), ErrorCode::ALL.iter().copied().collect());
}

#[test]
fn a_kind_without_a_seed_is_noticed() {
    let seeds = [seeds::of("request"), seeds::of("response")].concat();
    let decoded: BTreeSet<u16> = messages::kinds().into_iter().collect();
    for kind in messages::kinds() {
        let others = seeds.iter().filter(|seed| seed[..2] != kind.to_le_bytes());
        let found: BTreeSet<u16> = others.filter_map(|seed| messages::kind(seed)).collect();
        assert_eq!(decoded.difference(&found).collect::<Vec<_>>(), [&kind]);
    }
}

#[test]
fn every_target_has_seeds() {
    for (name, _) in TARGETS {
        assert!(seeds::of(name).len() > 2, "{name}");
    }
}
