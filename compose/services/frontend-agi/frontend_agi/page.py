# mypy: disable-error-code="untyped-decorator"
"""The page; Streamlit runs this file anew for every interaction."""

import os

import streamlit as st

from frontend_agi.client import Client, Unanswered
from frontend_agi.settings import Settings
from frontend_agi.tables import health_table, model_notice, plain, task_table


@st.cache_resource
def client() -> Client:
    """Return the one client that all sessions share."""
    return Client(Settings.from_env(os.environ))


def notice() -> None:
    """Say which model answers, loudly when it is the demonstration model."""
    try:
        text, loud = model_notice(client().health())
    except Unanswered as error:
        st.error(str(error))
        return
    if loud:
        st.warning(text)
    else:
        st.caption(text)


@st.fragment(run_every=5)
def health() -> None:
    """Show every dependency as the backend finds it now."""
    try:
        report = client().health()
    except Unanswered as error:
        st.error(str(error))
        return
    if report["status"] == "healthy":
        st.success(f"Healthy. Up for {report['uptime']:.0f} s, version {report['version']}.")
    else:
        st.error(f"Degraded: {report.get('error', '')}")
    st.markdown(health_table(report))
    st.caption(f"Measured {report['timestamp']}, again every five seconds.")


def chat() -> None:
    """Talk with the model."""
    turns: list[dict[str, str]] = st.session_state.setdefault("turns", [])
    place = st.container()
    message = st.chat_input("Say something to the model")
    with place:
        for turn in turns:
            with st.chat_message(turn["role"]):
                st.text(turn["content"])
        if message:
            answer(turns, message)


def answer(turns: list[dict[str, str]], message: str) -> None:
    """Show a message and the model's answer; only an answered message is remembered."""
    with st.chat_message("user"):
        st.text(message)
    with st.chat_message("assistant"), st.spinner("The model is thinking"):
        try:
            said = client().chat(turns, message)
        except Unanswered as error:
            st.error(str(error))
            return
        st.text(said["response"])
        st.caption(f"{said['model']}, {said['tokens']} tokens in {said['duration_ms'] / 1000:.1f} s")
        if said["demonstration"]:
            st.warning(said["notice"])
    turns += [{"role": "user", "content": message}, {"role": "assistant", "content": said["response"]}]


def submit() -> None:
    """Give the coordinator a task."""
    with st.form("task", clear_on_submit=True):
        prompt = st.text_area("Task", placeholder="What shall be done?")
        sent = st.form_submit_button("Submit")
    if sent and prompt.strip():
        try:
            st.success(f"Queued as {client().submit(prompt)['task_id']}.")
        except Unanswered as error:
            st.error(str(error))


@st.fragment(run_every=2)
def tasks() -> None:
    """Show the newest tasks."""
    try:
        found = client().tasks()
    except Unanswered as error:
        st.error(str(error))
        return
    if not found:
        st.info("No tasks yet.")
        return
    st.markdown(task_table(found))
    chosen = st.selectbox("Whole result of", [task["id"] for task in found], index=None)
    for task in found:
        if task["id"] == chosen:
            st.text(task["result"] or task["error"] or f"{plain(task['state'])}, nothing yet")


def page() -> None:
    """Lay out the page."""
    st.set_page_config(page_title="SutazAI", page_icon="🧭", layout="wide")
    st.title("SutazAI")
    notice()
    chat_tab, task_tab, health_tab = st.tabs(["Chat", "Tasks", "Health"])
    with chat_tab:
        chat()
    with task_tab:
        submit()
        tasks()
    with health_tab:
        health()


page()
