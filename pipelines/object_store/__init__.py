"""The only place that talks to S3."""

from pipelines.object_store.connection import Body
from pipelines.object_store.multipart import MultipartUpload
from pipelines.object_store.store import ListedObject, ObjectInfo, ObjectStore, PresignedForm

__all__ = ["Body", "ListedObject", "MultipartUpload", "ObjectInfo", "ObjectStore", "PresignedForm"]
