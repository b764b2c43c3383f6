"""A ReFrame test that runs a study of lad_mpi and reports its figures of merit."""

import json
from pathlib import Path

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import run_before, sanity_function, variable


@rfm.simple_test
class LadMpiStudy(rfm.RunOnlyRegressionTest):
    """Run a study under the launcher of the partition.

    The test passes if every run of the study is complete. Its performance variables are the
    lines of ``lad-mpi analysis table --fom``, with names such as ``LAD_median/iteration_s``.
    Set ``reference`` to bound them.
    """

    descr = "Byzantine-robust distributed training: a study of lad_mpi"
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    # Tests derived from this one in other folders find the study too.
    sourcesdir = str(Path(__file__).parent / "src")

    #: The study, a file in the folder of sources.
    study = variable(str, value="study.toml")
    #: Number of ranks: one server, and the others host the devices.
    ranks = variable(int, value=3)

    executable = "lad-mpi"
    time_limit = "10m"

    @run_before("run")
    def prepare(self):
        """Set the command line, and print the state and the figures of merit after the run."""
        self.num_tasks = self.ranks
        self.executable_opts = ["study", "run", self.study, "-o", "results"]
        self.postrun_cmds = [
            f"lad-mpi study status {self.study} -o results --json > status.json",
            "lad-mpi analysis table results --fom",
        ]
        self.keep_files = ["results", "status.json"]

    @sanity_function
    def all_runs_are_complete(self):
        """Check that every run of the study is complete and that there are figures of merit."""
        status = Path("status.json").read_text()
        runs = json.loads(status) if status else []
        unfinished = [run for run in runs if run["status"] != "complete"]
        reasons = [f"{run['name']}, seed {run['seed']}: {run['status']}" for run in unfinished]
        return sn.all(
            [
                sn.assert_true(runs, msg=f"the study cannot be read; see {self.stderr}"),
                sn.assert_false(unfinished, msg=f"runs are not complete: {'; '.join(reasons)}"),
                sn.assert_found(r"^FOM ", self.stdout, msg="no figures of merit"),
            ]
        )

    @run_before("performance")
    def report_figures_of_merit(self):
        """Turn each FOM line into a performance variable."""
        lines = sn.extractall(
            r"^FOM (\S+) (\S+) (\S+)$",
            Path(self.stagedir) / self.stdout.evaluate(),
            (1, 2, 3),
            (str, float, str),
        )
        self.perf_variables = {
            name: sn.make_performance_function(sn.defer(value), unit)
            for name, value, unit in lines.evaluate()
        }
