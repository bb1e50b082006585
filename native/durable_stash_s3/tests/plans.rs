//! Plans in JSON: what the format says, and the ones that come with the server.
#![allow(clippy::unwrap_used)]

use durable_stash_s3::{BodyFault, ConditionFault, ETagFault, Fault, Instead, Millis, On, Operation, Plan, Rule, Step};

#[test]
fn every_shipped_plan_is_valid_and_misbehaves() {
    let plans = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plans")).unwrap();
    let mut count = 0;
    for file in plans {
        let path = file.unwrap().path();
        let plan = Plan::from_json(&std::fs::read(&path).unwrap()).unwrap();
        assert!(plan.rules.iter().any(|rule| !rule.fault.is_none()), "{}", path.display());
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn every_fault_can_be_written_in_json() {
    let json = r#"{
      "seed": 1,
      "script": [{ "on": { "operations": ["get_object"], "bucket": "b", "key": "k" }, "fault": {} }],
      "rules": [
        { "name": "all slots", "chance": 0.5, "skip": 1, "times": 2, "between_ms": [3, 4], "min_interval_ms": 5,
          "on": { "operations": ["put_object", "delete_object"], "key_contains": "a", "key_lacks": "b", "conditional": true, "session_token": "t" },
          "fault": { "delay_before_ms": 1, "before": "reset", "conditions": "ignored", "stale": 1, "delay_after_ms": [1, 2],
                     "after": { "status": { "status": 502, "code": "BadGateway" } }, "etag": "weak", "body": { "truncated": { "percent": 50 } } } },
        { "fault": { "before": { "too_many_requests": { "retry_after_s": 1 } }, "conditions": { "racy": { "window_ms": 9 } }, "body": { "endless": { "every_ms": 1 } } } },
        { "fault": { "before": "hang_up", "conditions": "refused", "etag": "omitted", "body": { "dripping": { "every_ms": 1 } } } },
        { "fault": { "before": "silence", "etag": "bare" } }
      ]
    }"#;
    let all_slots = Rule {
        name: "all slots".into(),
        on: On {
            operations: vec![Operation::PutObject, Operation::DeleteObject],
            key_contains: Some("a".into()),
            key_lacks: Some("b".into()),
            conditional: Some(true),
            session_token: Some("t".into()),
            ..On::default()
        },
        chance: 0.5,
        skip: 1,
        times: Some(2),
        between_ms: Some((3, 4)),
        min_interval_ms: Some(5),
        fault: Fault {
            delay_before_ms: Some(Millis::Exactly(1)),
            before: Some(Instead::Reset),
            conditions: Some(ConditionFault::Ignored),
            stale: Some(1),
            delay_after_ms: Some(Millis::Between(1, 2)),
            after: Some(Instead::Status { status: 502, code: "BadGateway".into(), retry_after_s: None }),
            etag: Some(ETagFault::Weak),
            body: Some(BodyFault::Truncated { percent: 50 }),
        },
    };
    let throttle = Fault::before(Instead::TooManyRequests { retry_after_s: 1 })
        .and(Fault::conditions(ConditionFault::Racy { window_ms: 9 }))
        .and(Fault::body(BodyFault::Endless { every_ms: 1 }));
    let hang_up = Fault::before(Instead::HangUp)
        .and(Fault::conditions(ConditionFault::Refused))
        .and(Fault::etag(ETagFault::Omitted))
        .and(Fault::body(BodyFault::Dripping { every_ms: 1 }));
    let silence = Fault::before(Instead::Silence).and(Fault::etag(ETagFault::Bare));
    let step_on = On { bucket: Some("b".into()), key: Some("k".into()), ..On::operation(Operation::GetObject) };
    let plan = Plan::from_json(json.as_bytes()).unwrap();
    assert_eq!(plan.script, [Step { on: step_on, fault: Fault::default() }]);
    let rules = [throttle, hang_up, silence].map(|fault| Rule::always(On::default(), fault));
    assert_eq!(plan.rules, [vec![all_slots], rules.to_vec()].concat());

    let again = serde_json::to_vec(&plan).unwrap();
    assert_eq!(Plan::from_json(&again).unwrap(), plan, "what the server tells of its plan is a plan");
}

#[test]
fn nothing_unknown_is_passed_over() {
    for (json, said) in [
        (r#"{"rule":[]}"#, "unknown field `rule`"),
        (r#"{"rules":[{"fault":{"befor":"reset"}}]}"#, "unknown field `befor`"),
        (r#"{"rules":[{"fault":{"before":"resett"}}]}"#, "unknown variant `resett`"),
        (r#"{"rules":[{"on":{"operation":"put_object"}}]}"#, "unknown field `operation`"),
        (r#"{"rules":[{"chance":10}]}"#, "`chance` is from 0 to 1, not 10"),
        ("", "EOF"),
    ] {
        let error = Plan::from_json(json.as_bytes()).unwrap_err();
        assert!(error.starts_with("the fault plan is not valid: ") && error.contains(said), "{error}");
    }
}
