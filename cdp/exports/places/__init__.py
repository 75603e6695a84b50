"""Where files are handed over to: buckets, SFTP servers, addresses that take uploads, and folders of this machine.

Each leaves a whole file under its name or none; no name of a machine is connected to before its address was judged
(`cdp.outbound`). What a file is, and who gets it, is the business of whoever hands it over.
"""

from cdp.exports.places.folder import FolderPlace
from cdp.exports.places.http import HttpPlace
from cdp.exports.places.place import KeepOn, Place, PlaceError
from cdp.exports.places.s3 import S3Place
from cdp.exports.places.sftp import SftpPlace

__all__ = ["FolderPlace", "HttpPlace", "KeepOn", "Place", "PlaceError", "S3Place", "SftpPlace"]
