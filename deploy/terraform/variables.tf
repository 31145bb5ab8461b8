# Values come from the *.auto.tfvars.json beside this file, which `make surfaces` writes; give `images` yourself.

variable "heavy_queues" {
  description = "The queues that alphaswarm-executor drains; alphaswarm-worker drains all others."
  type        = set(string)

  validation {
    condition     = length(setsubtract(var.heavy_queues, keys(var.queues))) == 0
    error_message = "heavy_queues names ${join(", ", setsubtract(var.heavy_queues, keys(var.queues)))}; the queues are ${join(", ", keys(var.queues))}."
  }
}

variable "images" {
  description = "References of both images, by digest: `registry/alphaswarm-worker@sha256:…`. Without one its bare name."
  type        = object({ worker = optional(string), executor = optional(string) })
  default     = {}
}

variable "queues" {
  description = "Each queue's own numbers: seconds, pods, tasks at once in one pod."
  type        = any
}

variable "profiles" {
  description = "What the pods of all queues of an image have in common, by the image's target."
  type        = any
}

variable "scaling" {
  description = "The autoscaler's behavior, by whether it may end pods while the queue has work."
  type        = any
}

variable "spared" {
  description = "Annotations that keep node autoscalers from ending running pods."
  type        = map(string)
}

variable "labels" {
  description = "Labels of every object."
  type        = map(string)
}

variable "namespace" {
  description = "The namespace, which deploy/kustomize/base/shared makes."
  type        = string
}
