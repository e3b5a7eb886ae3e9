//! Checks whether a graph can be published with its declarations: every target exists, every default fits.

use super::{Declared, Kind, Param};
use crate::{
    graph::{
        Budget, FleetCatalog, OwnFiles, Workflow,
        catalog::{Eligibility, Given, Input, Kind as Takes},
        params::{
            address::Reader,
            options::{BASE, Options, RemoteFile, Resolved},
            resolve,
        },
    },
    json::child_pointer,
    problem::{Problem, Problems, SEARCHES_MAX, clip, suggest},
    task::{FileInput, Warning},
};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Result of a successful check for publication.
#[derive(Debug, Clone)]
pub struct Published {
    /// Stored files that graph and defaults use.
    pub files: Vec<FileInput>,
    /// Files at URLs, fetched for each task.
    pub remote: Vec<RemoteFile>,
    /// Warnings for the publisher.
    pub warnings: Vec<Warning>,
}

/// Checks graph and declarations against each other and against the instances' catalogs.
///
/// # Errors
/// Every problem found, at most 100; pointers begin with `/params` or `/workflow`.
pub fn publish(
    workflow: &Workflow,
    declared: &Declared,
    (pool, own): (&FleetCatalog, &OwnFiles),
    budget: &Budget,
) -> Result<Published, Vec<Problem>> {
    let options = Options {
        declared: Some(declared),
        is_publishing: true,
        pool: Some(pool),
        own: Some(own),
        budget,
        ..Options::default()
    };
    let empty = RawValue::from_string("{}".to_owned()).expect("an empty object is JSON");
    let mut reader = Reader::new(workflow, &options, Problems::default());
    reader.read_names();
    let problems = Check::new(&reader, pool).run(declared);
    problems.check()?;
    match resolve(workflow, &empty, &options) {
        Ok(Resolved { files, remote, warnings, .. }) => Ok(Published { files, remote, warnings }),
        Err(problems) => Err(problems.into_iter().map(of_default).collect()),
    }
}

/// Moves the pointer of a problem to the default, which was checked as if it had been given.
fn of_default(mut problem: Problem) -> Problem {
    if problem.pointer.starts_with("/params/") {
        problem.pointer.push_str("/default");
    }
    problem
}

struct Check<'r, 'w, 'p> {
    reader: &'r Reader<'w, 'p>,
    eligibility: Option<Eligibility<'p>>,
    problems: Problems,
    /// Parameter of each input.
    taken: HashMap<(usize, String), String>,
}

impl<'r, 'w, 'p> Check<'r, 'w, 'p> {
    fn new(reader: &'r Reader<'w, 'p>, pool: &'p FleetCatalog) -> Self {
        let eligibility = (!pool.is_empty()).then(|| Eligibility::new(pool, reader.budget));
        Self { reader, eligibility, problems: Problems::default(), taken: HashMap::new() }
    }

    fn run(mut self, declared: &Declared) -> Problems {
        for param in &declared.params {
            if self.is_over() {
                break;
            }
            let here = child_pointer(BASE, &param.name);
            if self.reader.workflow.place_of(&param.name).is_some() {
                let message = format!("`{}` is the id of a node: choose another name", param.name);
                self.problems.push(Problem::unfit(here, "param_bad_name", message).of_param(&param.name));
            } else if param.targets.is_empty() {
                self.own_name(param, here);
            } else {
                self.targets(param, &here);
            }
        }
        self.problems
    }

    fn is_over(&self) -> bool {
        self.problems.is_full() || self.reader.budget.is_over()
    }

    /// Checks a parameter without a target: the graph must declare its name exactly once.
    fn own_name(&mut self, param: &Param, here: String) {
        let (slot, markers) = (self.reader.names.has_slot(&param.name), self.reader.names.markers(&param.name));
        let problem = match (slot, markers.len()) {
            (true, 0) => return,
            (false, 1) => {
                let places = self.reader.places_of(param);
                return match places.first() {
                    Some(place) => self.place(param, &here, place),
                    None => {
                        let message = format!("the node named `{}` has no single input that takes a value", param.name);
                        self.problems.push(Problem::unfit(here, "param_ambiguous", message).of_param(&param.name));
                    }
                };
            }
            (false, 0) => {
                let message = format!(
                    "`{0}` needs a `target` such as \"6.text\": the graph has neither a placeholder {{{{{0}}}}} nor a node of that name",
                    param.name
                );
                Problem::unfit(child_pointer(&here, "target"), "param_no_such_node", message)
            }
            _ => {
                let message = format!("the graph has the name `{}` more than once", param.name);
                Problem::unfit(here, "param_ambiguous", message)
            }
        };
        self.problems.push(problem.of_param(&param.name));
    }

    fn targets(&mut self, param: &Param, here: &str) {
        for target in &param.targets {
            if self.is_over() {
                return;
            }
            let places = self.reader.places_at(target);
            if places.is_empty() {
                let addresses = self
                    .reader
                    .workflow
                    .nodes()
                    .flat_map(|node| node.inputs.iter().map(move |(input, _)| format!("{}.{input}", node.id)));
                let may_search = self.problems.len() < SEARCHES_MAX && self.reader.budget.take_search();
                let near = if may_search { suggest(target, addresses) } else { Vec::new() };
                let message = format!("`{}`: `{}` matches no single node of this workflow", param.name, clip(target));
                let problem = Problem::unfit(child_pointer(here, "target"), "param_no_such_node", message);
                self.problems.push(problem.of_param(&param.name).with_candidates(near));
            }
            for place in &places {
                if self.is_over() || !self.reader.budget.spend(2 + place.1.len() / 64) {
                    return;
                }
                self.place(param, &child_pointer(here, "target"), place);
            }
        }
    }

    /// Checks one target: the input exists, is not linked, belongs to no other parameter and can take the values.
    fn place(&mut self, param: &Param, here: &str, place: &(usize, String)) {
        let node = self.reader.workflow.node(place.0);
        let address = format!("{}.{}", node.id, clip(&place.1));
        let takes = self
            .eligibility
            .as_ref()
            .and_then(|eligibility| eligibility.input(&node.class, &place.1))
            .map(|input| &input.kind);
        let (code, message) = if node.input(&place.1).is_none() && takes.is_none() {
            (
                "param_no_such_input",
                format!("node {} ({}) has no input `{}`", node.id, clip(&node.class), clip(&place.1)),
            )
        } else if self.reader.is_linked(place) {
            ("param_overwrites_link", format!("`{address}` is linked to another node"))
        } else if let Some(other) = self.taken.insert(place.clone(), param.name.clone()) {
            ("param_conflict", format!("`{address}` is the target of `{other}` already"))
        } else if takes.is_some_and(|takes| !suits(param.kind, takes)) {
            ("param_type", format!("`{address}` takes no {}", param.kind.word()))
        } else if let Some(message) = self.without_options(param, place) {
            return self.problems.push(
                Problem::unfit(
                    child_pointer(&child_pointer(BASE, &param.name), "enum"),
                    "param_bad_declaration",
                    message,
                )
                .of_param(&param.name)
                .at_node(&node.id)
                .at_input(&place.1),
            );
        } else {
            return;
        };
        let problem = Problem::unfit(here.to_owned(), code, message).of_param(&param.name);
        self.problems.push(problem.at_node(&node.id).at_input(&place.1));
    }
}

impl Check<'_, '_, '_> {
    /// Returns why no submit could choose a value: an `enum` without its own list for which nothing is offered, or with
    /// a list of which nothing is offered.
    fn without_options(&self, param: &Param, (place, input): &(usize, String)) -> Option<String> {
        let node = self.reader.workflow.node(*place);
        let eligibility = self.eligibility.as_ref().filter(|eligibility| !eligibility.pool().has_unknown())?;
        let declared: Vec<&Input> =
            eligibility.pool().declarations(&node.class).filter_map(|class| class.input(input)).collect();
        let address = format!("{}.{}", node.id, clip(input));
        if declared.is_empty() {
            None
        } else if param.choices.is_empty() {
            let is_offered = declared.iter().any(|input| matches!(input.kind, Takes::Choice(_) | Takes::Dynamic(_)));
            let message = format!("`{}` needs an `enum`: the instances offer no list for `{address}`", param.name);
            (param.kind == Kind::Enum && !is_offered).then_some(message)
        } else {
            let is_taken = param.choices.iter().map(|choice| Given::new(choice)).any(|choice| {
                self.reader.budget.spend(1 + declared.len());
                declared.iter().any(|input| input.validate(&choice).is_ok())
            });
            let message = format!("`{}`: no instance takes any of its values for `{address}`", param.name);
            (!is_taken).then_some(message)
        }
    }
}

/// Whether values of the kind have the type that the instances declare for the input.
fn suits(kind: Kind, takes: &Takes) -> bool {
    match takes {
        Takes::Int { .. } => matches!(kind, Kind::Integer | Kind::Enum),
        Takes::Float { .. } => matches!(kind, Kind::Integer | Kind::Number | Kind::Enum),
        Takes::Boolean => matches!(kind, Kind::Boolean | Kind::Enum),
        Takes::Text => matches!(kind, Kind::String | Kind::Enum),
        Takes::Growing(_) => false,
        Takes::Choice(_) | Takes::Dynamic(_) | Takes::Open => true,
    }
}
