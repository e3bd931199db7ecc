"""Files in the dags folder of a running Airflow: broken ones, twins, and ones that go away."""

from __future__ import annotations

from harness import Client, wait_until

GOOD = "flowmate: 1\ndefaults: {retries: 0}\nsteps:\n  - {id: one, use: probe/emit, with: {count: 1}}\n"
BROKEN = "flowmate: 1\nsteps:\n  - {id: one, use: probe/emitt, with: {count: 1}}\n"


def test_a_broken_file_is_an_import_error_of_its_own_and_leaves_the_others_alone(airflow: Client, flow):
    flow.drop("teams/broken.yaml", BROKEN)
    flow.drop("compose.yaml", "services: {web: {image: nginx}}\n")
    flow.add("beside", GOOD)
    report = airflow.wait_for_import_error("teams/broken.yaml")
    assert "teams/broken.yaml:3:20: `probe` has no function `emitt`" in report
    assert "did you mean `emit`?" in report
    assert "compose.yaml" not in airflow.import_errors()
    _, state = airflow.run("beside")
    assert state == "success"
    flow.drop("teams/broken.yaml", GOOD.replace("flowmate: 1", "flowmate: 1\nid: mended"))
    airflow.wait_for_dag("mended")
    wait_until("the end of the import error", lambda: "teams/broken.yaml" not in airflow.import_errors() or None)


def test_an_id_taken_twice_is_an_error_of_both_files(airflow: Client, flow):
    flow.drop("first.yaml", GOOD.replace("flowmate: 1", "flowmate: 1\nid: twin"))
    flow.drop("second.yaml", GOOD.replace("flowmate: 1", "flowmate: 1\nid: twin"))
    assert "`twin` is taken twice, also in second.yaml" in airflow.wait_for_import_error("first.yaml")
    assert "`twin` is taken twice, also in first.yaml" in airflow.wait_for_import_error("second.yaml")
    airflow.wait_for_dag_gone("twin")  # it may have been there while the first file was alone


def test_a_flow_removed_while_it_runs_fails_alone(airflow: Client, flow):
    path = flow.drop(
        "leaving.yaml",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: first, use: probe/hang, with: {tries: 0}}
  - {id: second, use: probe/pass}
""",
    )
    airflow.wait_for_dag("leaving")
    flow.add("staying", GOOD)
    run = airflow.trigger("leaving")
    path.unlink()
    airflow.wait_for_dag_gone("leaving")
    assert airflow.run("staying")[1] == "success"
    assert airflow.task_states("leaving", run)["second"] != "success"
