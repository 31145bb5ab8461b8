# Which image drains a queue is decided in one line: the first local. The rest follows from the queue's row.

locals {
  target = { for name, queue in var.queues : name => contains(var.heavy_queues, name) ? "executor" : "worker" }

  deployment_name = {
    for name, queue in var.queues :
    name => "${var.profiles[local.target[name]].image}-${queue.name}"
  }

  # Each task's process may start its share of the processors.
  threads = {
    for name, queue in var.queues :
    name => tostring(max(floor(var.profiles[local.target[name]].processors / queue.concurrency), 1))
  }

  labels = {
    for name, queue in var.queues : name => merge(var.profiles[local.target[name]].labels, {
      "app.kubernetes.io/instance" = local.deployment_name[name]
      "alphaswarm.io/queue"        = name
    })
  }

  own_environment = {
    for name, queue in var.queues : name => concat(
      [
        { name = "ALPHASWARM_QUEUES", value = name },
        { name = "ALPHASWARM_CONCURRENCY", value = tostring(queue.concurrency) },
        { name = "ALPHASWARM_TIME_LIMIT", value = tostring(queue.time_limit) },
        { name = "ALPHASWARM_GRACE_PERIOD", value = tostring(queue.grace_period) },
        { name = "ALPHASWARM_VISIBILITY_TIMEOUT", value = tostring(queue.visibility_timeout) },
      ],
      queue.soft_shutdown == null ? [] : [
        { name = "ALPHASWARM_SOFT_SHUTDOWN", value = tostring(queue.soft_shutdown) }
      ],
      [for variable in var.profiles[local.target[name]].threads : { name = variable, value = local.threads[name] }],
    )
  }

  deployments = {
    for name, queue in var.queues : name => {
      apiVersion = "apps/v1"
      kind       = "Deployment"
      metadata = {
        name      = local.deployment_name[name]
        namespace = var.namespace
        labels    = local.labels[name]
      }
      spec = {
        revisionHistoryLimit = 3
        selector             = { matchLabels = { "app.kubernetes.io/instance" = local.deployment_name[name] } }
        strategy             = { type = "RollingUpdate", rollingUpdate = { maxSurge = "25%", maxUnavailable = 0 } }
        template = {
          metadata = merge(
            { labels = local.labels[name] },
            queue.spared ? { annotations = var.spared } : {},
          )
          spec = merge(var.profiles[local.target[name]].pod, {
            priorityClassName             = queue.priority_class
            terminationGracePeriodSeconds = queue.grace_period
            topologySpreadConstraints = [
              for key in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] : {
                maxSkew           = 1
                topologyKey       = key
                whenUnsatisfiable = "ScheduleAnyway"
                labelSelector     = { matchLabels = { "app.kubernetes.io/instance" = local.deployment_name[name] } }
                matchLabelKeys    = ["pod-template-hash"]
              }
            ]
            containers = [
              merge(var.profiles[local.target[name]].container, {
                image = coalesce(var.images[local.target[name]], var.profiles[local.target[name]].image)
                env   = concat(var.profiles[local.target[name]].env, local.own_environment[name])
              })
            ]
          })
        }
      }
    }
  }

  scaled_objects = {
    for name, queue in var.queues : name => {
      apiVersion = "keda.sh/v1alpha1"
      kind       = "ScaledObject"
      metadata = {
        name      = local.deployment_name[name]
        namespace = var.namespace
        labels    = var.labels
      }
      spec = merge(
        {
          scaleTargetRef = {
            apiVersion = "apps/v1"
            kind       = "Deployment"
            name       = local.deployment_name[name]
          }
          minReplicaCount = queue.min_replicas
          maxReplicaCount = queue.max_replicas
          advanced = {
            horizontalPodAutoscalerConfig = { behavior = var.scaling[queue.scale_down] }
            scalingModifiers = {
              formula          = queue.formula
              target           = tostring(queue.concurrency)
              activationTarget = "0"
              metricType       = "AverageValue"
            }
          }
          triggers = queue.triggers
        },
        queue.polling_interval == null ? {} : { pollingInterval = queue.polling_interval },
        queue.cooldown_period == null ? {} : { cooldownPeriod = queue.cooldown_period },
      )
    }
  }
}
