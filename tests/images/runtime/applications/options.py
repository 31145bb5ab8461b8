"""A Celery application with one transport option, as the environment says."""

import ast
import os

from celery import Celery

app = Celery("options")
app.conf.broker_transport_options = {os.environ["SAMPLE_OPTION"]: ast.literal_eval(os.environ["SAMPLE_VALUE"])}
