//! Changes a scenario's TOML before it is read, so that whatever scenarios know can be an axis.

use toml::{Table, Value};

use super::file::{MEMBERS, SPEAKERS, Template};

/// People in one meeting of a sweep. Reason: a mesh of so many already takes hours.
const MEMBERS_MAX: u64 = 2_000;

/// Sets a dotted key; a number in it is a place in a list (`relay.0.hosting`). Tables that are missing are made.
///
/// # Errors
/// A sentence that says which part of the key leads nowhere.
pub fn set(table: &mut Table, key: &str, value: &Value) -> Result<(), String> {
    let (parents, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut place = table;
    let mut parts = parents.split('.').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let next = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        place = match next {
            Value::Table(table) => table,
            Value::Array(list) => {
                let length = list.len();
                let item = parts.next().and_then(|part| part.parse::<usize>().ok());
                item.and_then(|item| list.get_mut(item))
                    .and_then(Value::as_table_mut)
                    .ok_or_else(|| {
                        format!("`{part}` is a list of {length}: name one of them, as `{part}.0.{last}`")
                    })?
            }
            _ => return Err(format!("`{part}` is a value, nothing that has a `{last}`")),
        };
    }
    place.insert(last.to_owned(), value.clone());
    Ok(())
}

/// Adds members after the template until there are `members`, and lets the first `speakers` of all speak.
///
/// # Errors
/// A sentence if the scenario has more members of its own, or a number is out of bounds.
pub fn populate(
    scenario: &mut Table,
    template: &Template,
    members: Option<u64>,
    speakers: Option<u64>,
) -> Result<(), String> {
    let list = scenario
        .entry("member")
        .or_insert_with(|| Value::Array(Vec::new()));
    let list = list.as_array_mut().ok_or("`member` is not a list")?;
    let own = list.len() as u64;
    let members = members.unwrap_or(own);
    if members < own || members > MEMBERS_MAX {
        return Err(format!(
            "`{MEMBERS}` is {members}, but the scenario has {own} of its own and at most {MEMBERS_MAX} are possible"
        ));
    }
    let mut names = Vec::new();
    for number in 1..=members - own {
        let member = numbered(&Value::Table(template.template.clone()), number);
        names.extend(member.get("name").cloned());
        list.push(member);
    }
    if let Some(speakers) = speakers.or(template.speakers) {
        if speakers > members {
            return Err(format!(
                "`{SPEAKERS}` is {speakers}, but there are {members} members"
            ));
        }
        for (index, member) in list.iter_mut().enumerate() {
            let speaks = Value::Boolean((index as u64) < speakers);
            let member = member.as_table_mut().ok_or("a member is not a table")?;
            member.insert("speaks".to_owned(), speaks);
        }
    }
    expect_also(scenario, names);
    Ok(())
}

/// A scenario that says who is in at the end expects those who were added, too.
fn expect_also(scenario: &mut Table, names: Vec<Value>) {
    let expected = scenario
        .get_mut("expect")
        .and_then(|expect| expect.get_mut("members"));
    if let Some(Value::Array(expected)) = expected
        && !expected.is_empty()
    {
        expected.extend(names);
    }
}

/// `{n}` in all strings becomes a number.
fn numbered(value: &Value, number: u64) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{n}", &number.to_string())),
        Value::Array(list) => Value::Array(list.iter().map(|item| numbered(item, number)).collect()),
        Value::Table(table) => {
            let table = table
                .iter()
                .map(|(key, value)| (key.clone(), numbered(value, number)));
            Value::Table(table.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Table {
        toml::from_str("relay = [{ hosting = 'DE' }]\nmember = [{ name = 'Ada' }]\nexpect.members = ['Ada']")
            .expect("TOML")
    }

    #[test]
    fn keys_are_set_where_they_belong() {
        let mut table = scenario();
        set(&mut table, "network.loss_percent", &Value::Integer(5)).unwrap();
        set(&mut table, "relay.0.hosting", &Value::String("NO".into())).unwrap();
        set(&mut table, "planner", &Value::String("mesh".into())).unwrap();
        assert_eq!(table["network"]["loss_percent"].as_integer(), Some(5));
        assert_eq!(table["relay"][0]["hosting"].as_str(), Some("NO"));
        assert_eq!(table["planner"].as_str(), Some("mesh"));
        let error = set(&mut table, "relay.1.hosting", &Value::Integer(1)).unwrap_err();
        assert!(error.contains("list of 1"), "{error}");
        let error = set(&mut table, "planner.depth", &Value::Integer(1)).unwrap_err();
        assert!(error.contains("`planner` is a value"), "{error}");
    }

    #[test]
    fn the_template_fills_the_meeting() {
        let mut table = scenario();
        let template = Template {
            speakers: Some(2),
            template: toml::from_str("name = 'P{n}'\nrelays = ['r{n}']").unwrap(),
        };
        populate(&mut table, &template, Some(4), None).unwrap();
        let members = table["member"].as_array().unwrap();
        let names: Vec<&str> = members.iter().map(|m| m["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Ada", "P1", "P2", "P3"]);
        let speaks: Vec<bool> = members.iter().map(|m| m["speaks"].as_bool().unwrap()).collect();
        assert_eq!(speaks, [true, true, false, false]);
        assert_eq!(members[2]["relays"][0].as_str(), Some("r2"));
        assert_eq!(table["expect"]["members"].as_array().unwrap().len(), 4);
        assert!(populate(&mut scenario(), &template, Some(0), None).is_err());
        assert!(populate(&mut scenario(), &template, Some(3), Some(4)).is_err());
    }
}
