use super::*;
use wasmill_sdk::testing::Drive;

#[test]
fn the_last_rule_of_a_shop_holds() {
    let mut rules = Drive::<Rules>::with_broadcast("");
    let pay = |rules: &mut Drive<Rules>| {
        rules.batch(["a", "b"].map(|shop| (Timestamp(0), Payment { shop, cents: 50 })));
        rules.kept().len()
    };
    assert_eq!(pay(&mut rules), 2);
    let rule = |limit| Rule { shop: "a", limit };
    rules.broadcast(Timestamp(0), rule(Some(60))).broadcast(Timestamp(0), rule(Some(49)));
    assert_eq!(pay(&mut rules), 3);
    assert_eq!(rules.side_output::<Blocked<'_>>("blocked"), [Blocked { shop: "a", cents: 50, limit: 49 }]);
    rules.broadcast(Timestamp(0), rule(None));
    assert_eq!(pay(&mut rules), 5);
}
