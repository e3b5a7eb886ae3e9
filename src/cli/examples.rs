//! What stands below the help of some commands: lines to copy.

pub(super) const SUBMIT: &str = "\
Examples:
  shuzhiren submit flow.json -p 6.text=\"a lighthouse\" -p 3.seed=random --watch
  shuzhiren submit flow.json -p 10.image=@photo.png --out results
  shuzhiren submit flow.json --dry-run --json | jq .warnings
  shuzhiren submit flow.json --sweep 3.steps=20,30 --sweep '6.text=[\"a cat, asleep\",\"a dog\"]' --out results
  shuzhiren submit --workflow portrait -p prompt=\"a lighthouse\" -n 4 --watch";

pub(super) const WORKFLOWS: &str = "\
Examples:
  shuzhiren workflows set portrait flow.json --params params.json --description \"text to image\"
  shuzhiren workflows show portrait@2
  shuzhiren workflows get portrait > flow.json";

pub(super) const BATCHES: &str = "\
Tasks name their batch, and submit prints it:
  shuzhiren tasks -n 200 --json | jq -r '.items[].batchId // empty' | uniq";

pub(super) const TASKS: &str = "\
Examples:
  shuzhiren tasks --status failed,running
  shuzhiren tasks --error-type out_of_memory --json | jq -r '.items[].id' | xargs shuzhiren retry";

pub(super) const CONFIG: &str = "\
Examples:
  shuzhiren config get > fleet.json
  shuzhiren config set fleet.json
  shuzhiren config edit                 # in $EDITOR; shows what changes, and asks";

pub(super) const BENCH: &str = "\
Example:
  shuzhiren bench -n 500 -c 16          # against a system on another machine only with --yes";

pub(super) const COMPLETIONS: &str = "\
Example:
  source <(shuzhiren completions bash)";
