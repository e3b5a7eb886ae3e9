//! Examples at the end of the help of some commands.

pub(super) const SUBMIT: &str = "\
Examples:
  shuzhiren submit workflow.json -p 6.text=\"a lighthouse\" -p 3.seed=random --watch
  shuzhiren submit workflow.json -p 10.image=@photo.png --out results
  shuzhiren submit workflow.json --dry-run --json | jq .warnings
  shuzhiren submit workflow.json --sweep 3.steps=20,30 --sweep '6.text=[\"a cat, asleep\",\"a dog\"]' --out results
  shuzhiren submit --workflow portrait -p prompt=\"a lighthouse\" -n 4 --watch";

pub(super) const WORKFLOWS: &str = "\
Examples:
  shuzhiren workflows set portrait workflow.json --params params.json --description \"text to image\"
  shuzhiren workflows show portrait@2
  shuzhiren workflows get portrait > workflow.json";

pub(super) const BATCHES: &str = "\
Submit prints the id of its batch, and each task has it:
  shuzhiren tasks -n 200 --json | jq -r '.items[].batchId // empty' | uniq";

pub(super) const TASKS: &str = "\
Examples:
  shuzhiren tasks --status failed,running
  shuzhiren tasks --error-type out_of_memory --json | jq -r '.items[].id' | xargs shuzhiren retry";

pub(super) const CONFIG: &str = "\
Examples:
  shuzhiren config get > fleet.json
  shuzhiren config set fleet.json
  shuzhiren config edit                 # opens $EDITOR, shows the changes and asks for confirmation";

pub(super) const BENCH: &str = "\
Examples:
  shuzhiren bench -n 500 -c 16          # a system on another machine needs --yes
  shuzhiren bench schedule --trace requests.csv --load 0.35 --days 13";

pub(super) const BENCH_SCHEDULE: &str = "\
Examples:
  shuzhiren bench schedule --trace requests.csv --days 13 --load 0.5
  shuzhiren bench schedule --trace requests.csv --policy warm --warm 2 --json | jq .policies.warm.loadsPer100Tasks";

pub(super) const COMPLETIONS: &str = "\
Example:
  source <(shuzhiren completions bash)";
